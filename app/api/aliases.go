package api

import (
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway"
)

// Alias is a name of the organisation's own for a model.
type Alias struct {
	Name      string    `json:"name" required:"true" description:"Requests may ask for it, and answers then carry it."`
	Model     string    `json:"model" required:"true" description:"The model that answers."`
	CreatedBy string    `json:"created_by" required:"true"`
	CreatedAt time.Time `json:"created_at" required:"true"`
}

func toAlias(a gateway.Alias) Alias { return Alias{a.Name, a.Model, a.CreatedBy, a.CreatedAt.UTC()} }

func (a *API) getAliases(c ctx, actor auth.Actor, _ None) (List[Alias], error) {
	all, err := a.Gateway.Aliases(c, actor)
	return listOf(all, toAlias), err
}

type newAlias struct {
	Name  string `json:"name" required:"true" description:"1 to 200 visible characters, no spaces."`
	Model string `json:"model" required:"true" description:"Id or name of a model."`
}

func (a *API) postAlias(c ctx, actor auth.Actor, in newAlias) (Alias, error) {
	made, err := a.Gateway.AddAlias(c, actor, in.Name, in.Model)
	return toAlias(made), err
}

// aliasRef names an alias.
type aliasRef struct {
	Name string `path:"name" json:"-" description:"Slashes are written %2F."`
}

func (a *API) deleteAlias(c ctx, actor auth.Actor, in aliasRef) (None, error) {
	return None{}, a.Gateway.RemoveAlias(c, actor, in.Name)
}
