package api

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
)

type auditQuery struct {
	Limit  int    `query:"limit" json:"-" minimum:"1" maximum:"1000" default:"100"`
	Cursor string `query:"cursor" json:"-" pattern:"^[0-9]{1,18}$" description:"send next_cursor of the page before as it is"`
}

// Audit is a page of the organisation's audit.
type Audit struct {
	Items      []AuditEntry `json:"items" required:"true"`
	NextCursor string       `json:"next_cursor" required:"true" description:"Of the next page; empty after the last."`
}

// AuditEntry says who changed what.
type AuditEntry struct {
	ID         int64           `json:"id" required:"true"`
	At         time.Time       `json:"at" required:"true"`
	Actor      string          `json:"actor" required:"true" description:"user:<id>, key:<id> or system."`
	ActorName  string          `json:"actor_name" required:"true" description:"E-mail address or name of the key, as it was then."`
	Action     string          `json:"action" required:"true" description:"noun.verb, such as key.revoke."`
	Object     string          `json:"object" required:"true" description:"Id or name of what was changed."`
	ObjectName string          `json:"object_name" required:"true" description:"Name or e-mail address of what object tells by its id; empty when there is none."`
	Detail     json.RawMessage `json:"detail" required:"true"`
	IP         string          `json:"ip" required:"true" description:"That it was asked from; empty when nobody asked."`
	RequestID  string          `json:"request_id" required:"true"`
}

func (a *API) getAudit(c ctx, actor auth.Actor, in auditQuery) (Audit, error) {
	before, _ := strconv.ParseInt(in.Cursor, 10, 64) // 0 without one; the pattern lets nothing else in
	all, err := a.Auth.AuditPage(c, actor, before, in.Limit)
	if err != nil {
		return Audit{}, err
	}
	page := Audit{Items: listOf(all, func(e auth.Entry) AuditEntry {
		return AuditEntry{e.ID, e.At.UTC(), e.Actor, e.ActorName, e.Action, e.Object, e.ObjectName, e.Detail, e.IP, e.RequestID}
	}).Items}
	if len(all) == in.Limit {
		page.NextCursor = strconv.FormatInt(all[len(all)-1].ID, 10)
	}
	return page, nil
}
