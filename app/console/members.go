package console

import (
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/views"
)

// getMembers serves GET /members.
func (p *Console) getMembers(c *echo.Context) error {
	return p.showMembers(c, http.StatusOK, views.Members{Form: views.MemberForm{Role: string(auth.User)}})
}

func (p *Console) showMembers(c *echo.Context, status int, page views.Members) error {
	ctx, a := c.Request().Context(), actor(c)
	members, err := p.Auth.Members(ctx, a)
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	page.May = allowed(a)
	for _, r := range views.Roles {
		if a.Role.Grants(auth.Role(r.ID)) {
			page.Roles = append(page.Roles, r)
		}
	}
	for _, m := range members {
		page.Rows = append(page.Rows, views.MemberRow{
			ID: m.UserID.String(), Email: m.Email, Name: m.Name, Role: string(m.Role), State: "active", Since: m.JoinedAt, LastSeen: m.LastSeenAt,
			You: m.UserID == a.UserID, Editable: m.UserID != a.UserID && a.Role.Grants(m.Role),
		})
	}
	if page.May.EditMembers {
		invited, err := p.Auth.Invitations(ctx, a)
		if err != nil {
			return err //nolint:wrapcheck // says enough
		}
		for _, i := range invited {
			page.Rows = append(page.Rows, views.MemberRow{
				ID: i.ID.String(), Email: i.Email, Role: string(i.Role), State: "invited", Since: i.CreatedAt, Editable: a.Role.Grants(i.Role),
			})
		}
	}
	if page.Organisation, err = p.organisation(c); err != nil {
		return err
	}
	return p.show(c, status, "/members", page)
}

func (p *Console) organisation(c *echo.Context) (string, error) {
	all, err := p.Auth.Organisations(c.Request().Context(), actor(c))
	for _, o := range all {
		if o.ID == actor(c).Organisation {
			return o.Name, nil
		}
	}
	return "this organisation", err //nolint:wrapcheck // says enough
}

// postMember serves POST /members. The answer is the only page that ever shows
// the link, so it is no redirect.
func (p *Console) postMember(c *echo.Context) error {
	form := views.MemberForm{Email: c.FormValue("email"), Role: c.FormValue("role")}
	i, token, err := p.Auth.AddMember(c.Request().Context(), actor(c), form.Email, auth.Role(form.Role))
	if err != nil {
		return p.membersAgain(c, form, err)
	}
	return p.showMembers(c, http.StatusOK, views.Members{
		Form:    views.MemberForm{Role: string(auth.User)},
		Invited: &views.Invitation{Email: i.Email, URL: p.PublicURL + "/setup/" + url.PathEscape(token), Expires: i.ExpiresAt},
	})
}

func (p *Console) membersAgain(c *echo.Context, form views.MemberForm, err error) error {
	why, status, ok := refused(c, err)
	if !ok {
		return err
	}
	return p.showMembers(c, status, views.Members{Form: form, Refusal: why})
}

// postRole serves POST /members/:id/role.
func (p *Console) postRole(c *echo.Context) error {
	member, err := id(c)
	if err != nil {
		return err
	}
	if err := p.Auth.ChangeRole(c.Request().Context(), actor(c), member, auth.Role(c.FormValue("role"))); err != nil {
		return p.membersAgain(c, views.MemberForm{Role: string(auth.User)}, err)
	}
	return to(c, "/members")
}

// found is a member or an invitation by its id.
func (p *Console) found(c *echo.Context) (email string, invitation bool, who uuid.UUID, err error) {
	ctx, a := c.Request().Context(), actor(c)
	if who, err = id(c); err != nil {
		return "", false, who, err
	}
	members, err := p.Auth.Members(ctx, a)
	if err != nil {
		return "", false, who, err //nolint:wrapcheck // says enough
	}
	for _, m := range members {
		if m.UserID == who {
			return m.Email, false, who, nil
		}
	}
	invited, err := p.Auth.Invitations(ctx, a)
	if err != nil {
		return "", false, who, err //nolint:wrapcheck // says enough
	}
	for _, i := range invited {
		if i.ID == who && time.Now().Before(i.ExpiresAt) {
			return i.Email, true, who, nil
		}
	}
	return "", false, who, echo.ErrNotFound
}

// getRemoveMember serves GET /members/:id/remove, the question as a page.
func (p *Console) getRemoveMember(c *echo.Context) error {
	email, _, who, err := p.found(c)
	if err != nil {
		return err
	}
	name, err := p.organisation(c)
	if err != nil {
		return err
	}
	return p.show(c, http.StatusOK, "/members", views.ConfirmRemoveMember(who.String(), email, name))
}

// postRemoveMember serves POST /members/:id/remove, for an invitation too.
func (p *Console) postRemoveMember(c *echo.Context) error {
	_, invitation, who, err := p.found(c)
	if err != nil {
		return err
	}
	remove := p.Auth.RemoveMember
	if invitation {
		remove = p.Auth.WithdrawInvitation
	}
	if err := remove(c.Request().Context(), actor(c), who); err != nil {
		return p.membersAgain(c, views.MemberForm{Role: string(auth.User)}, err)
	}
	return to(c, "/members")
}
