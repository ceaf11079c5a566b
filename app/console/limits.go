package console

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/limit"
	"github.com/inventiv-it-for-ai/inventiv/views"
)

// limited is whose limits a page is about.
type limited struct {
	level    limit.Level
	id       uuid.UUID
	networks auth.Networks // of a key
	page     views.Limits
}

// getLimits serves GET …/limits of a key, a member or the organisation.
func (p *Console) getLimits(level limit.Level) echo.HandlerFunc {
	return func(c *echo.Context) error {
		l, err := p.limitedBy(c, level)
		if err != nil {
			return err
		}
		now, err := p.Gateway.LimitsOf(c.Request().Context(), actor(c), l.level, l.id)
		if err != nil {
			return err //nolint:wrapcheck // a sentence for people
		}
		l.page.Form = views.LimitForm{
			Requests: shownLimit(now.RequestsPerMinute), Tokens: shownLimit(now.TokensPerMinute), Concurrency: shownLimit(now.Concurrency),
			MaxTokens: shownLimit(now.MaxTokens), Models: strings.Join(now.Models, ", "), Period: string(now.Period),
			Networks: strings.Join(l.networks.Texts(), ", "),
		}
		if now.Budget > 0 {
			l.page.Form.Budget = now.Budget.String()
		}
		return p.showLimits(c, http.StatusOK, l, now)
	}
}

func (p *Console) showLimits(c *echo.Context, status int, l limited, now gateway.Limited) error {
	l.page.Budget, l.page.Spent, l.page.Reserved = now.Budget, now.Spent, now.Reserved
	return p.show(c, status, l.page.Back, l.page)
}

// postLimits serves POST …/limits.
func (p *Console) postLimits(level limit.Level) echo.HandlerFunc {
	return func(c *echo.Context) error {
		l, err := p.limitedBy(c, level)
		if err != nil {
			return err
		}
		l.page.Form = views.LimitForm{
			Requests: c.FormValue("requests_per_minute"), Tokens: c.FormValue("tokens_per_minute"), Concurrency: c.FormValue("concurrency"),
			MaxTokens: c.FormValue("max_tokens"), Models: c.FormValue("models"), Budget: c.FormValue("budget"), Period: c.FormValue("period"),
			Networks: c.FormValue("networks"),
		}
		if err := p.saveLimits(c, l); err != nil {
			why, status, ok := refused(c, err)
			if !ok {
				return err
			}
			l.page.Refusal = why
			return p.showLimits(c, status, l, gateway.Limited{})
		}
		return to(c, l.page.Back)
	}
}

// saveLimits saves what was typed, once all of it can be read.
func (p *Console) saveLimits(c *echo.Context, l limited) error {
	ctx, a, form := c.Request().Context(), actor(c), l.page.Form
	s := limit.Settings{Models: listed(form.Models), Period: limit.Period(form.Period)}
	for _, n := range []struct {
		field, text string
		into        *int64
	}{
		{"requests_per_minute", form.Requests, &s.RequestsPerMinute}, {"tokens_per_minute", form.Tokens, &s.TokensPerMinute},
		{"concurrency", form.Concurrency, &s.Concurrency}, {"max_tokens", form.MaxTokens, &s.MaxTokens},
	} {
		var err error
		if text := strings.TrimSpace(n.text); text != "" {
			if *n.into, err = strconv.ParseInt(text, 10, 64); err != nil {
				return fault.Newf(fault.Invalid, "“%s” is not a whole number.", text).WithFix("Leave it empty for no limit.").WithField(n.field)
			}
		}
	}
	if text := strings.TrimSpace(form.Budget); text != "" {
		var err error
		if s.Budget, err = money.Parse(text); err != nil {
			return fault.Newf(fault.Invalid, "“%s” is not an amount.", text).WithFix("Write euros, such as 25 or 12.50.").WithField("budget")
		}
	}
	if l.level != limit.Key {
		_, err := p.Gateway.SetLimits(ctx, a, l.level, l.id, s)
		return err //nolint:wrapcheck // a sentence for people
	}
	networks, err := auth.ParseNetworks(listed(form.Networks))
	if err != nil {
		return err //nolint:wrapcheck // a sentence for people
	}
	if _, err := p.Gateway.SetLimits(ctx, a, l.level, l.id, s); err != nil {
		return err //nolint:wrapcheck // a sentence for people
	}
	return p.Auth.SetKeyNetworks(ctx, a, l.id, networks) //nolint:wrapcheck // a sentence for people
}

// limitedBy finds whose limits the address is about.
func (p *Console) limitedBy(c *echo.Context, level limit.Level) (limited, error) {
	ctx, a := c.Request().Context(), actor(c)
	l := limited{level: level, id: a.Organisation, page: views.Limits{Path: c.Request().URL.Path, Back: "/members", List: "Members", Key: level == limit.Key}}
	if level == limit.Organisation {
		name, err := p.organisation(c)
		l.page.Whose = name
		return l, err
	}
	var err error
	if l.id, err = id(c); err != nil {
		return l, err
	}
	if level == limit.Member {
		members, err := p.Auth.Members(ctx, a)
		for _, m := range members {
			if m.UserID == l.id {
				l.page.Whose = m.Email
				return l, nil
			}
		}
		return l, orNotFound(err)
	}
	keys, err := p.Auth.ListKeys(ctx, a)
	for _, k := range keys {
		if k.ID == l.id {
			l.page.Back, l.page.List, l.page.Whose, l.networks = "/keys", "API keys", "the key "+k.Name, k.Networks
			return l, nil
		}
	}
	return l, orNotFound(err)
}

func orNotFound(err error) error {
	if err == nil {
		return echo.ErrNotFound
	}
	return err
}

// shownLimit writes a limit for a form; none is empty.
func shownLimit(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// listed reads names with commas or spaces between them.
func listed(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\r' || r == '\t' })
}
