package auth

import (
	"context"

	"github.com/google/uuid"
)

// Actor is who asks: a member in a session, or an API key on its owner's
// behalf. The zero Actor may do nothing.
type Actor struct {
	UserID        uuid.UUID // nil for a key without an owner
	SessionID     uuid.UUID // nil for a key
	KeyID         uuid.UUID // nil for a session
	Organisation  uuid.UUID // the current one; nil for a user without any
	Name          string    // e-mail address, or name of the key
	Role          Role
	PlatformAdmin bool
	IP, RequestID string // for the audit
}

// Can reports whether the actor has the permission in its organisation.
func (a Actor) Can(p Permission) bool {
	if p == PlatformOperate {
		return a.PlatformAdmin
	}
	return a.Organisation != uuid.Nil && a.Role.Can(p)
}

// Ref names the actor in rows that say who did something.
func (a Actor) Ref() string {
	switch {
	case a.KeyID != uuid.Nil:
		return "key:" + a.KeyID.String()
	case a.UserID != uuid.Nil:
		return "user:" + a.UserID.String()
	}
	return "system"
}

// System is the process itself, acting for an organisation.
func System(organisation uuid.UUID) Actor {
	return Actor{Organisation: organisation, Name: "inventiv", Role: Owner, PlatformAdmin: true}
}

type actorKey struct{}

// With returns a context that carries the actor.
func With(ctx context.Context, a Actor) context.Context { return context.WithValue(ctx, actorKey{}, a) }

// From returns the actor of a request, or the zero Actor.
func From(ctx context.Context) Actor {
	a, _ := ctx.Value(actorKey{}).(Actor)
	return a
}
