package api

import (
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
)

// Stray is something billed under our tag of an instance that the database does
// not know.
type Stray struct {
	InstanceID  uuid.UUID `json:"instance_id" required:"true" description:"By its tag."`
	Provider    string    `json:"provider" required:"true"`
	Zone        string    `json:"zone" required:"true"`
	Kind        string    `json:"kind" required:"true" enum:"server,volume,address"`
	ProviderID  string    `json:"provider_id" required:"true"`
	Description string    `json:"description" required:"true"`
	CreatedAt   time.Time `json:"created_at" required:"true" description:"By the provider's clock."`
}

func toStray(s instance.Stray) Stray {
	return Stray{s.Instance, s.Provider, s.Ref.Zone, string(s.Ref.Kind), s.Ref.ID, s.Description, s.CreatedAt.UTC()}
}

func (a *API) getStrays(c ctx, actor auth.Actor, _ None) (List[Stray], error) {
	all, err := a.Instances.Strays(c, actor)
	return listOf(all, toStray), err
}

type strayRef struct {
	ID uuid.UUID `path:"id" json:"-" description:"Of the instance, by the tag."`
}

func (a *API) deleteStray(c ctx, actor auth.Actor, in strayRef) (List[Stray], error) {
	left, err := a.Instances.DeleteStray(c, actor, in.ID)
	return listOf(left, toStray), err
}
