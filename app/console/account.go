package console

import (
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/views"
)

// getAccount serves GET /account.
func (p *Console) getAccount(c *echo.Context) error {
	page := views.Account{}
	if c.QueryParam("done") == "password" {
		page.Done = "The password was changed. All your other sessions have ended."
	}
	return p.showAccount(c, http.StatusOK, page)
}

func (p *Console) showAccount(c *echo.Context, status int, page views.Account) error {
	a := actor(c)
	sessions, err := p.Auth.Sessions(c.Request().Context(), a)
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	page.Email, page.Role, page.Theme = a.Name, string(a.Role), theme(c)
	if page.Organisation, err = p.organisation(c); err != nil {
		return err
	}
	for _, s := range sessions {
		page.Sessions = append(page.Sessions, views.SessionRow{
			ID: s.ID.String(), Browser: browser(s.UserAgent), IP: s.IP, Created: s.CreatedAt, LastSeen: s.LastSeenAt, Current: s.Current,
		})
	}
	return p.show(c, status, "/account", page)
}

// browser names a browser and its system, as far as a user agent tells.
func browser(agent string) string {
	name, system := "A browser", ""
	for _, b := range []struct{ mark, name string }{
		{"Edg/", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"HeadlessChrome/", "Headless Chrome"}, {"Chrome/", "Chrome"},
		{"Safari/", "Safari"}, {"curl/", "curl"}, {"inventiv/", "The inventiv command"},
	} {
		if strings.Contains(agent, b.mark) {
			name = b.name
			break
		}
	}
	for _, s := range []struct{ mark, name string }{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Mac OS X", "macOS"}, {"Windows", "Windows"}, {"Linux", "Linux"},
	} {
		if strings.Contains(agent, s.mark) {
			system = " on " + s.name
			break
		}
	}
	return name + system
}

// postPassword serves POST /account/password.
func (p *Console) postPassword(c *echo.Context) error {
	err := p.Auth.ChangePassword(c.Request().Context(), actor(c), c.FormValue("current"), c.FormValue("password"))
	if err != nil {
		why, status, ok := refused(c, err)
		if !ok {
			return err
		}
		return p.showAccount(c, status, views.Account{Refusal: why})
	}
	return to(c, "/account?done=password")
}

// postTheme serves POST /account/theme. The choice lives in a cookie of its own,
// so that the first byte of every page is drawn in it.
func (p *Console) postTheme(c *echo.Context) error {
	cookie := &http.Cookie{ //nolint:gosec // Secure as the site is: the demo speaks http
		Name: themeCookie, Value: c.FormValue("theme"), Path: "/", MaxAge: int((365 * 24 * time.Hour).Seconds()),
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: strings.HasPrefix(p.PublicURL, "https://"),
	}
	if cookie.Value != "light" && cookie.Value != "dark" {
		cookie.Value, cookie.MaxAge = "", -1
	}
	c.SetCookie(cookie)
	return to(c, "/account")
}

// postEndSession serves POST /account/sessions/:id/end.
func (p *Console) postEndSession(c *echo.Context) error {
	session, err := id(c)
	if err != nil {
		return err
	}
	if err := p.Auth.EndSession(c.Request().Context(), actor(c), session); err != nil {
		return err //nolint:wrapcheck // a sentence for people
	}
	return to(c, "/account")
}
