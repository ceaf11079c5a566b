package console

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"
	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/web"
	"github.com/inventiv-it-for-ai/inventiv/views"
)

// home returns where to go after signing in: back to a page of ours, or to the
// first one. Another site's address is never followed.
func home(back string) string {
	u, err := url.Parse(back)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(u.Path, "/") ||
		strings.HasPrefix(back, "//") || strings.ContainsAny(back, "\\\r\n\t") || u.Path == SignIn {
		return "/"
	}
	return back
}

// getSignIn serves GET /sign-in.
func (p *Console) getSignIn(c *echo.Context) error {
	page := views.Login{Return: home(c.QueryParam("return"))}
	if c.QueryParam("bye") != "" {
		page.Note = "You are signed out."
	}
	return web.Render(c, http.StatusOK, views.Door(theme(c), page))
}

// postSignIn serves POST /sign-in.
func (p *Console) postSignIn(c *echo.Context) error {
	email, back := c.FormValue("email"), home(c.FormValue("return"))
	token, err := p.Auth.SignIn(c.Request().Context(), email, c.FormValue("password"), client(c))
	if err != nil {
		why, status, ok := refused(c, err)
		if !ok {
			return err
		}
		return web.Render(c, status, views.Door(theme(c), views.Login{Email: email, Return: back, Refusal: why}))
	}
	c.SetCookie(p.Guard.Cookies.Set(token))
	return to(c, back)
}

// postSignOut serves POST /sign-out.
func (p *Console) postSignOut(c *echo.Context) error {
	if err := p.Auth.SignOut(c.Request().Context(), actor(c)); err != nil {
		return err //nolint:wrapcheck // says enough
	}
	c.SetCookie(p.Guard.Cookies.Clear())
	return to(c, SignIn+"?bye=1")
}

// getSetUp serves GET /setup/:token, the page behind a one-time link. Looking
// at it does not use the link.
func (p *Console) getSetUp(c *echo.Context) error {
	page, err := p.setUp(c)
	if err != nil {
		return err
	}
	return web.Render(c, http.StatusOK, views.Door(theme(c), page))
}

func (p *Console) setUp(c *echo.Context) (views.SetUp, error) {
	t, err := p.Auth.ReadTicket(c.Request().Context(), c.Param("token"), client(c))
	if err != nil {
		return views.SetUp{}, err //nolint:wrapcheck // a sentence for people
	}
	return views.SetUp{
		Purpose: string(t.Purpose), Email: t.Email, Role: string(t.Role), Organisation: t.Organisation,
		Founds: t.Founds, HasPassword: t.HasPassword, Action: "/setup/" + url.PathEscape(c.Param("token")),
	}, nil
}

// postSetUp serves POST /setup/:token: the link is used and a session begins.
func (p *Console) postSetUp(c *echo.Context) error {
	organisation := strings.TrimSpace(c.FormValue("organisation"))
	token, err := p.Auth.Redeem(c.Request().Context(), c.Param("token"), c.FormValue("password"), organisation, client(c))
	if err != nil {
		why, status, ok := refused(c, err)
		if !ok {
			return err
		}
		page, err := p.setUp(c)
		if err != nil {
			return err
		}
		page.Refusal = why
		if page.Founds {
			page.Organisation = organisation
		}
		return web.Render(c, status, views.Door(theme(c), page))
	}
	c.SetCookie(p.Guard.Cookies.Set(token))
	return to(c, "/")
}

// postOrganisation serves POST /organisation: the session works in another one.
func (p *Console) postOrganisation(c *echo.Context) error {
	next, err := uuid.Parse(c.FormValue("organisation"))
	if err != nil {
		return echo.ErrNotFound
	}
	if err := p.Auth.SwitchOrganisation(c.Request().Context(), actor(c), next); err != nil {
		return err //nolint:wrapcheck // a sentence for people
	}
	return to(c, "/")
}
