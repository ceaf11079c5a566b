package console

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/views"
)

// auditPage is how many changes a page lists.
const auditPage = 50

// getAudit serves GET /audit.
func (p *Console) getAudit(c *echo.Context) error {
	page := views.Audit{Before: c.QueryParam("before"), Days: p.AuditDays, May: allowed(actor(c))}
	before, err := strconv.ParseInt(page.Before, 10, 64)
	if page.Before != "" && (err != nil || before < 1) {
		return echo.ErrNotFound
	}
	entries, err := p.Auth.AuditPage(c.Request().Context(), actor(c), before, auditPage+1)
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	if len(entries) > auditPage {
		entries = entries[:auditPage]
		page.Older = strconv.FormatInt(entries[auditPage-1].ID, 10)
	}
	for _, e := range entries {
		page.Rows = append(page.Rows, auditRow(e))
	}
	return p.show(c, http.StatusOK, "/audit", page)
}

func auditRow(e auth.Entry) views.AuditRow {
	r := views.AuditRow{
		At: e.At, Who: e.ActorName, Key: strings.HasPrefix(e.Actor, "key:"), IP: e.IP, Action: e.Action, Object: e.Object, RequestID: e.RequestID,
	}
	var detail map[string]any
	if json.Unmarshal(e.Detail, &detail) != nil {
		return r
	}
	if e.ObjectName != "" && e.ObjectName != e.Object { // people know it by that
		detail["id"], r.Object = e.Object, e.ObjectName
		delete(detail, "name")
	}
	var words []string
	for _, name := range slices.Sorted(maps.Keys(detail)) {
		words = append(words, fmt.Sprintf("%s=%v", name, detail[name]))
	}
	r.Detail = strings.Join(words, " ")
	return r
}
