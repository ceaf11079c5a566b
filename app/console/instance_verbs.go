package console

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
	"github.com/inventiv-it-for-ai/inventiv/views"
)

// verbs are the actions on an instance, by the last part of their address.
func (p *Console) verbs() map[string]func(context.Context, auth.Actor, string) (instance.Instance, error) {
	return map[string]func(context.Context, auth.Actor, string) (instance.Instance, error){
		"terminate": p.Instances.Terminate, "replace": p.Instances.Replace, "reinstall": p.Instances.Reinstall,
		"archive": p.Instances.Archive, "retry": p.Instances.Retry, "cordon": p.Instances.Cordon, "uncordon": p.Instances.Uncordon,
	}
}

// actions are those that make sense in the instance's state; the service
// decides when one is asked for.
func actions(i instance.Instance) []string {
	switch {
	case i.State == instance.Ready && i.Eligibility == instance.Cordoned:
		return []string{"uncordon", "replace", "reinstall", "terminate"}
	case i.State == instance.Ready:
		return []string{"cordon", "replace", "reinstall", "terminate"}
	case i.State.Failure():
		return []string{"retry", "terminate"}
	case i.State == instance.Terminated:
		return []string{"archive"}
	case i.State.Gone() || i.State == instance.Terminating:
		return nil
	}
	return []string{"terminate"}
}

// getVerb serves GET /instances/:ref/:verb, the question as a page.
func (p *Console) getVerb(c *echo.Context) error {
	return p.askVerb(c, http.StatusOK, views.Refusal{})
}

func (p *Console) askVerb(c *echo.Context, status int, why views.Refusal) error {
	verb := c.Param("verb")
	if _, ok := p.verbs()[verb]; !ok {
		return echo.ErrNotFound
	}
	d, err := p.Instances.Instance(c.Request().Context(), actor(c).Organisation, c.Param("ref"))
	if err != nil {
		return err //nolint:wrapcheck // a sentence for people
	}
	page := views.ConfirmVerb(verb, d.ID.String(), d.Name)
	page.Refusal = why
	return p.show(c, status, "/instances", page)
}

// postVerb serves POST /instances/:ref/:verb. What cannot be undone wants the
// instance's name typed.
func (p *Console) postVerb(c *echo.Context) error {
	ctx, a, verb := c.Request().Context(), actor(c), c.Param("verb")
	do, ok := p.verbs()[verb]
	if !ok {
		return echo.ErrNotFound
	}
	d, err := p.Instances.Instance(ctx, a.Organisation, c.Param("ref"))
	if err != nil {
		return err //nolint:wrapcheck // a sentence for people
	}
	if !views.Verbs[verb].Gentle && c.FormValue("confirm") != d.Name {
		return p.askVerb(c, http.StatusUnprocessableEntity, notTyped(d.Name))
	}
	if _, err := do(ctx, a, d.ID.String()); err != nil {
		why, status, ok := refused(c, err)
		if !ok {
			return err
		}
		return p.askVerb(c, status, why)
	}
	return to(c, "/instances/"+d.ID.String())
}
