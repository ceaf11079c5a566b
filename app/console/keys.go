package console

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
	"github.com/inventiv-it-for-ai/inventiv/views"
)

// idText is an id, or nothing for the nil one.
func idText(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}

// getKeys serves GET /keys.
func (p *Console) getKeys(c *echo.Context) error {
	return p.showKeys(c, http.StatusOK, views.Keys{Form: views.KeyForm{Scope: "inference", Expires: "90"}})
}

func (p *Console) showKeys(c *echo.Context, status int, page views.Keys) error {
	keys, err := p.Auth.ListKeys(c.Request().Context(), actor(c))
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	page.May = allowed(actor(c))
	for _, k := range keys {
		page.Rows = append(page.Rows, views.KeyRow{
			ID: k.ID.String(), Name: k.Name, Shown: "sk-inv-" + k.PublicID + "…", Owner: k.Owner, Scopes: k.Scopes.Names(),
			State: k.State(time.Now()), Created: k.CreatedAt, Expires: k.ExpiresAt, LastUsed: k.LastUsedAt,
		})
	}
	// What can be used comes first.
	slices.SortStableFunc(page.Rows, func(a, b views.KeyRow) int { return inactive(a) - inactive(b) })
	return p.show(c, status, "/keys", page)
}

func inactive(k views.KeyRow) int {
	if k.State == "active" {
		return 0
	}
	return 1
}

// postKey serves POST /keys. The answer is the only page that ever shows the
// key, so it is no redirect.
func (p *Console) postKey(c *echo.Context) error {
	ctx, a := c.Request().Context(), actor(c)
	page := views.Keys{Form: views.KeyForm{Name: c.FormValue("name"), Scope: c.FormValue("scope"), Expires: c.FormValue("expires")}}
	scopes, err := auth.ParseScopes([]string{page.Form.Scope})
	var key auth.Key
	var text string
	if err == nil {
		key, text, err = p.Auth.CreateKey(ctx, a, page.Form.Name, scopes, expiry(page.Form.Expires, time.Now()), nil)
	}
	if err != nil {
		why, status, ok := refused(c, err)
		if !ok {
			return err
		}
		page.Refusal = why
		return p.showKeys(c, status, page)
	}
	page.Made = &views.MadeKey{Name: key.Name, Secret: text, BaseURL: p.baseURL()}
	ready, err := p.Instances.Instances(ctx, a.Organisation, instance.Filter{States: []instance.State{instance.Ready}, Limit: 1})
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	if len(ready) > 0 && scopes.Has(auth.ScopeInference) && ready[0].Kind == "chat" {
		page.Made.Model = ready[0].Model
	}
	page.Form = views.KeyForm{Scope: "inference", Expires: "90"}
	return p.showKeys(c, http.StatusOK, page)
}

// expiry reads "in so many days"; anything else is never.
func expiry(choice string, now time.Time) time.Time {
	if days, err := strconv.Atoi(choice); err == nil && days > 0 && days <= 3650 {
		return now.AddDate(0, 0, days)
	}
	return time.Time{}
}

// getRevoke serves GET /keys/:id/revoke, the question as a page.
func (p *Console) getRevoke(c *echo.Context) error {
	key, err := id(c)
	if err != nil {
		return err
	}
	keys, err := p.Auth.ListKeys(c.Request().Context(), actor(c))
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	for _, k := range keys {
		if k.ID == key {
			return p.show(c, http.StatusOK, "/keys", views.ConfirmRevoke(k.ID.String(), k.Name))
		}
	}
	return echo.ErrNotFound
}

// postRevoke serves POST /keys/:id/revoke.
func (p *Console) postRevoke(c *echo.Context) error {
	key, err := id(c)
	if err != nil {
		return err
	}
	if err := p.Auth.RevokeKey(c.Request().Context(), actor(c), key); err != nil {
		return err //nolint:wrapcheck // a sentence for people
	}
	return to(c, "/keys")
}
