package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/modules/auth/internal/authdb"
)

// Entry is one line of an organisation's audit.
type Entry struct {
	ID        int64
	At        time.Time
	Actor     string // Actor.Ref of who did it
	ActorName string
	Action    string // noun.verb, such as key.revoke
	Object    string // id or name
	// ObjectName is what people know an object by that is told by its id; empty
	// when there is nothing better.
	ObjectName string
	Detail     json.RawMessage
	IP         string
	RequestID  string
}

// Audit records what the actor did to an object, in the transaction of the
// change itself: there is no change without its line and no line without its
// change. An actor of whom only the key or the member is known is named after
// it. detail must hold no secret; it may be nil.
func Audit(ctx context.Context, tx pgx.Tx, actor Actor, action, object string, detail map[string]any) error {
	if detail == nil {
		detail = map[string]any{}
	}
	text, err := json.Marshal(detail)
	if err != nil {
		return fmt.Errorf("audit %s: %w", action, err)
	}
	err = authdb.New(tx).InsertAudit(ctx, authdb.InsertAuditParams{
		OrganisationID: orNull(actor.Organisation), Actor: actor.Ref(), ActorName: actor.Name,
		KeyID: orNull(actor.KeyID), UserID: orNull(actor.UserID),
		Action: action, Object: object, Detail: text, Ip: actor.IP, RequestID: actor.RequestID,
	})
	if err != nil {
		return fmt.Errorf("audit %s: %w", action, err)
	}
	return nil
}

// AuditPage returns up to limit entries of the audit of the actor's
// organisation, newest first, from before an entry's id, or from the newest
// when before is 0. It needs AuditView.
func (s *Service) AuditPage(ctx context.Context, actor Actor, before int64, limit int) ([]Entry, error) {
	if err := Need(actor, AuditView); err != nil {
		return nil, err
	}
	rows, err := s.q().AuditPage(ctx, authdb.AuditPageParams{
		OrganisationID: actor.Organisation, Before: before, PageSize: int32(min(max(limit, 1), 1000)),
	})
	if err != nil {
		return nil, fmt.Errorf("read the audit: %w", err)
	}
	list := make([]Entry, len(rows))
	for i, r := range rows {
		list[i] = Entry{
			ID: r.ID, At: r.At, Actor: r.Actor, ActorName: r.ActorName, Action: r.Action, Object: r.Object, ObjectName: r.ObjectName,
			Detail: r.Detail, IP: r.Ip, RequestID: r.RequestID,
		}
	}
	return list, nil
}
