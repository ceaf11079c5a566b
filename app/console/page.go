package console

import (
	"net/http"
	"time"

	"github.com/a-h/templ"
	"github.com/google/uuid"
	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/web"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/views"
)

const themeCookie = "theme"

// actor is who asks; the policy of the route has looked.
func actor(c *echo.Context) auth.Actor {
	a, _ := auth.From(c.Request().Context())
	return a
}

// client is where a request comes from, for the audit.
func client(c *echo.Context) auth.Client {
	return auth.Client{IP: c.RealIP(), UserAgent: c.Request().UserAgent(), RequestID: web.RequestID(c.Request().Context())}
}

// allowed turns permissions into what the views hide.
func allowed(a auth.Actor) views.May {
	return views.May{
		Instances: a.Can(auth.InstancesView), Operate: a.Can(auth.InstancesOperate),
		Models: a.Can(auth.ModelsView), EditPrices: a.Can(auth.PricesEdit),
		Endpoints: a.Can(auth.EndpointsView), EditEndpoints: a.Can(auth.EndpointsEdit), PrivateEndpoints: a.Can(auth.PlatformOperate),
		Keys: a.Can(auth.KeysOwn), AllKeys: a.Can(auth.KeysAll),
		Members: a.Can(auth.MembersView), EditMembers: a.Can(auth.MembersEdit), Limits: a.Can(auth.LimitsEdit),
		Usage: a.Can(auth.UsageOwn), AllUsage: a.Can(auth.UsageAll), Costs: a.Can(auth.CostsView),
		Inference: a.Can(auth.InferenceUse), Audit: a.Can(auth.AuditView), Platform: a.Can(auth.PlatformOperate),
	}
}

// show answers with a page, or with one region of it when ?fragment= names one.
// path is the entry of the navigation that the page belongs to.
func (p *Console) show(c *echo.Context, status int, path string, page views.Page) error {
	if name := c.QueryParam("fragment"); name != "" {
		if live, ok := page.(views.Live); ok {
			if part := live.Fragment(name); part != nil {
				return web.Render(c, status, part)
			}
		}
		return echo.ErrNotFound
	}
	s, err := p.shell(c, path)
	if err != nil {
		return err
	}
	return web.Render(c, status, views.Layout(s, page))
}

// shell gathers what surrounds a page.
func (p *Console) shell(c *echo.Context, path string) (views.Shell, error) {
	ctx, a := c.Request().Context(), actor(c)
	s := views.Shell{Theme: theme(c), Path: path, Since: p.Events.LastID(), Person: a.Name, May: allowed(a)}
	organisations, err := p.Auth.Organisations(ctx, a)
	if err != nil {
		return s, err //nolint:wrapcheck // says enough
	}
	for _, o := range organisations {
		choice := views.Choice{ID: o.ID.String(), Name: o.Name}
		if o.ID == a.Organisation {
			s.Organisation = choice
		} else {
			s.Others = append(s.Others, choice)
		}
	}
	if s.Organisation.ID == "" {
		s.Organisation.Name = "No organisation"
	}
	s.Meter, err = p.meter(c)
	return s, err
}

// meter reads the figures of the line on top.
func (p *Console) meter(c *echo.Context) (m views.Meter, err error) {
	ctx, a := c.Request().Context(), actor(c)
	m.Now = time.Now()
	if a.Organisation == uuid.Nil {
		return m, nil
	}
	if a.Can(auth.CostsView) {
		o, err := p.Finops.Overview(ctx, a)
		if err != nil {
			return m, err //nolint:wrapcheck // says enough
		}
		m.Costs, m.PerHour, m.Month, m.Forecast, m.Now = true, o.BurnRate, o.MonthToDate, o.Forecast, o.At
	}
	if a.Can(auth.UsageOwn) {
		m.Requests, err = p.Gateway.RequestsPerMinute(ctx, a)
	}
	return m, err //nolint:wrapcheck // says enough
}

// getMeter serves GET /meter, the line on top by itself.
func (p *Console) getMeter(c *echo.Context) error {
	m, err := p.meter(c)
	if err != nil {
		return err
	}
	return web.Render(c, http.StatusOK, m.Line())
}

// refused returns what a form shows of err and the status of the page, or
// reports that err is none of a person's.
func refused(c *echo.Context, err error) (views.Refusal, int, bool) {
	f := fault.As(err)
	if f == nil || f.Code == fault.Unavailable || f.Code == fault.NotFound && f.Field == "" {
		return views.Refusal{}, 0, false
	}
	web.SetRetryAfter(c.Response().Header(), f)
	status := web.Status(f)
	if status == http.StatusBadRequest || status == http.StatusUnauthorized {
		status = http.StatusUnprocessableEntity
	}
	return views.Refusal{Text: f.Text, Fix: f.Fix, Field: f.Field, RequestID: web.RequestID(c.Request().Context())}, status, true
}

// to redirects after a form was accepted.
func to(c *echo.Context, path string) error { return c.Redirect(http.StatusSeeOther, path) }

// theme is the one this browser has chosen.
func theme(c *echo.Context) string {
	if k, err := c.Cookie(themeCookie); err == nil && (k.Value == "light" || k.Value == "dark") {
		return k.Value
	}
	return ""
}

// ErrorPage draws a problem for people. Whoever is signed in keeps the menu.
func (p *Console) ErrorPage(c *echo.Context, problem web.Problem) templ.Component {
	page := views.ProblemOf(problem.Status, problem.RequestID)
	if problem.Status < http.StatusInternalServerError && problem.Status != http.StatusForbidden {
		if problem.Detail != page.What {
			page.Why = problem.Detail
		}
		if problem.Fix != "" && page.Status != http.StatusNotFound {
			page.Fix = problem.Fix
		}
	}
	if problem.Status < http.StatusInternalServerError && p.recognise(c) {
		if s, err := p.shell(c, ""); err == nil {
			return views.Layout(s, page)
		}
	}
	return views.Door(theme(c), page)
}

// recognise reports whether the request is a signed-in person's. Where there is
// no route there is no policy that would have looked: it does.
func (p *Console) recognise(c *echo.Context) bool {
	token := p.Guard.Cookies.Token(c.Request())
	if actor(c).UserID != uuid.Nil || token == "" {
		return actor(c).UserID != uuid.Nil
	}
	a, err := p.Auth.Peek(c.Request().Context(), token)
	if err == nil {
		c.SetRequest(c.Request().WithContext(auth.With(c.Request().Context(), a)))
	}
	return err == nil
}

// id reads an id from the path; a malformed one names nothing.
func id(c *echo.Context) (uuid.UUID, error) {
	v, err := uuid.Parse(c.Param("id"))
	if err != nil {
		return uuid.Nil, echo.ErrNotFound
	}
	return v, nil
}
