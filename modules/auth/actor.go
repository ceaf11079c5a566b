package auth

import (
	"context"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

// Actor is who asks: a member in a session, or an API key on its owner's
// behalf. The zero Actor may do nothing.
type Actor struct {
	UserID        uuid.UUID // nil for a key that belongs to no member
	SessionID     uuid.UUID // nil for a key
	KeyID         uuid.UUID // nil for a session
	Organisation  uuid.UUID // the current one; nil for a member without any
	Name          string    // e-mail address, or the key's name
	Role          Role      // in Organisation, now; for a key its owner's
	PlatformAdmin bool      // operates the platform; for a key its owner does
	Scopes        Scopes    // of a key
	IP, RequestID string    // for the audit
}

// grants reports whether the actor may give role, or take it away. A key never
// grants more than an admin, whoever owns it: a stolen one must not make owners.
func (a Actor) grants(role Role) bool {
	if a.KeyID != uuid.Nil {
		return a.Can(MembersEdit) && Admin.Grants(role)
	}
	return a.Can(MembersEdit) && a.Role.Grants(role)
}

// Can reports whether the actor has the permission in its organisation. A key
// can do what both its scopes and its owner's role allow.
func (a Actor) Can(p Permission) bool {
	if a.KeyID != uuid.Nil && !a.Scopes.permit(p) {
		return false
	}
	if p == PlatformOperate {
		return a.PlatformAdmin
	}
	return a.Organisation != uuid.Nil && a.Role.Can(p)
}

// Need returns nil when the actor has the permission, else fault.Denied that
// names it: kind no_organisation without a current organisation,
// permission_denied otherwise.
func Need(a Actor, p Permission) error {
	switch {
	case a.Can(p):
		return nil
	case p == PlatformOperate:
		return fault.New(fault.Denied, "Only an operator of this platform may do this.").WithKind("permission_denied")
	case a.Organisation == uuid.Nil:
		return fault.New(fault.Denied, "You have not chosen an organisation, or are no longer a member of it.").
			WithFix("Choose one of your organisations, or ask an owner to invite you.").WithKind("no_organisation")
	case a.KeyID != uuid.Nil:
		return fault.Newf(fault.Denied, "This API key may not do this: its scopes or its owner's role lack %s.", p).
			WithKind("permission_denied")
	}
	return fault.Newf(fault.Denied, "The role %s may not do this: it lacks the permission %s.", a.Role, p).
		WithFix("Ask " + askWhom(p) + " of your organisation.").WithKind("permission_denied")
}

// askWhom names the roles that hold a permission.
func askWhom(p Permission) string {
	switch {
	case Admin.Can(p):
		return "an owner or admin"
	case Manager.Can(p):
		return "an owner or manager"
	}
	return "an owner"
}

// Ref names the actor where a row says who did something: "user:<id>",
// "key:<id>" or "system".
func (a Actor) Ref() string {
	switch {
	case a.KeyID != uuid.Nil:
		return "key:" + a.KeyID.String()
	case a.UserID != uuid.Nil:
		return "user:" + a.UserID.String()
	}
	return "system"
}

// System returns the process itself, acting for an organisation: the demo's
// set-up, a loop, an operator on the machine's own command line.
func System(organisation uuid.UUID) Actor {
	return Actor{Organisation: organisation, Name: "inventiv", Role: Owner, PlatformAdmin: true}
}

type actorKey struct{}

// With returns a context that carries the actor of a request.
func With(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// From returns the actor of a request, and false when nobody has signed in.
func From(ctx context.Context) (Actor, bool) {
	a, ok := ctx.Value(actorKey{}).(Actor)
	return a, ok
}
