package api

import (
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway"
)

// Endpoint is an OpenAI-compatible server that runs elsewhere.
type Endpoint struct {
	ID        uuid.UUID  `json:"id" required:"true"`
	Name      string     `json:"name" required:"true"`
	Model     string     `json:"model" required:"true"`
	URL       string     `json:"url" required:"true"`
	Keyed     bool       `json:"keyed" required:"true" description:"It is sent a key of its own."`
	State     string     `json:"state" required:"true" enum:"unknown,reachable,unreachable"`
	Message   string     `json:"message" required:"true"`
	CheckedAt *time.Time `json:"checked_at,omitempty"`
	CreatedAt time.Time  `json:"created_at" required:"true"`
	Routing   *Standing  `json:"routing,omitempty" description:"How it stands with the process that answers."`
}

func (a *API) toEndpoint(e gateway.Endpoint) Endpoint {
	return Endpoint{
		e.ID, e.Name, e.Model, e.BaseURL, e.Keyed, e.State, e.Message, some(e.CheckedAt), e.CreatedAt.UTC(), a.standingOf(e.ID),
	}
}

func (a *API) getEndpoints(c ctx, actor auth.Actor, _ None) (List[Endpoint], error) {
	all, err := a.Gateway.Endpoints(c, actor)
	return listOf(all, a.toEndpoint), err
}

type newEndpoint struct {
	Name  string `json:"name" required:"true" pattern:"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"`
	Model string `json:"model" required:"true" description:"The model of a request."`
	URL   string `json:"url" required:"true" description:"Base URL, which ends in /v1."`
	Key   string `json:"key" description:"Sent as a bearer token; it is never shown again."`
}

func (a *API) postEndpoint(c ctx, actor auth.Actor, in newEndpoint) (Endpoint, error) {
	e, err := a.Gateway.AddEndpoint(c, actor, gateway.NewEndpoint{Name: in.Name, Model: in.Model, BaseURL: in.URL, Key: in.Key})
	return a.toEndpoint(e), err
}

type endpointRef struct {
	Ref string `path:"ref" json:"-" pattern:"^[0-9a-z][0-9a-z-]{0,62}$" description:"the id or name of an endpoint has 1 to 63 lower-case letters, digits and hyphens"`
}

func (a *API) deleteEndpoint(c ctx, actor auth.Actor, in endpointRef) (None, error) {
	return None{}, a.Gateway.RemoveEndpoint(c, actor, in.Ref)
}

// Key is an API key without its secret.
type Key struct {
	ID         uuid.UUID  `json:"id" required:"true"`
	Prefix     string     `json:"prefix" required:"true" description:"How the key begins."`
	Name       string     `json:"name" required:"true"`
	Scopes     []string   `json:"scopes" required:"true"`
	Owner      string     `json:"owner" required:"true"`
	Networks   []string   `json:"networks,omitempty" description:"Where it may be used from; everywhere when it is left out."`
	State      string     `json:"state" required:"true" enum:"active,revoked,suspended,expired"`
	CreatedAt  time.Time  `json:"created_at" required:"true"`
	ExpiresAt  *time.Time `json:"expires_at,omitempty"`
	LastUsedAt *time.Time `json:"last_used_at,omitempty"`
	RevokedAt  *time.Time `json:"revoked_at,omitempty"`
}

func toKey(k auth.Key) Key {
	return Key{
		k.ID, "sk-inv-" + k.PublicID, k.Name, k.Scopes.Names(), k.Owner, k.Networks.Texts(), k.State(time.Now()), k.CreatedAt.UTC(),
		some(k.ExpiresAt), some(k.LastUsedAt), some(k.RevokedAt),
	}
}

func (a *API) getKeys(c ctx, actor auth.Actor, _ None) (List[Key], error) {
	all, err := a.Auth.ListKeys(c, actor)
	return listOf(all, toKey), err
}

type newKey struct {
	Name      string    `json:"name" required:"true"`
	Scopes    []string  `json:"scopes" description:"inference, admin; inference, when it is left out."`
	Networks  []string  `json:"networks,omitempty" description:"Where it may be used from, such as 10.0.0.0/8; from everywhere when it is left out."`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// CreatedKey is a new key with its text, which cannot be read again.
type CreatedKey struct {
	Key

	Text string `json:"key" required:"true" description:"The key itself; it is shown this once."`
}

func (a *API) postKey(c ctx, actor auth.Actor, in newKey) (CreatedKey, error) {
	if in.Scopes == nil {
		in.Scopes = auth.ScopeInference.Names()
	}
	scopes, err := auth.ParseScopes(in.Scopes)
	if err != nil {
		return CreatedKey{}, err
	}
	networks, err := auth.ParseNetworks(in.Networks)
	if err != nil {
		return CreatedKey{}, err
	}
	k, text, err := a.Auth.CreateKey(c, actor, in.Name, scopes, in.ExpiresAt, networks)
	return CreatedKey{toKey(k), text}, err
}

type keyRef struct {
	ID uuid.UUID `path:"id" json:"-"`
}

func (a *API) deleteKey(c ctx, actor auth.Actor, in keyRef) (None, error) {
	return None{}, a.Auth.RevokeKey(c, actor, in.ID)
}

// Member is a user in the organisation.
type Member struct {
	ID         uuid.UUID  `json:"id" required:"true"`
	Email      string     `json:"email" required:"true"`
	Name       string     `json:"name" required:"true"`
	Role       string     `json:"role" required:"true"`
	JoinedAt   time.Time  `json:"joined_at" required:"true"`
	LastSeenAt *time.Time `json:"last_seen_at,omitempty"`
}

func (a *API) getMembers(c ctx, actor auth.Actor, _ None) (List[Member], error) {
	all, err := a.Auth.Members(c, actor)
	return listOf(all, func(m auth.Member) Member {
		return Member{m.UserID, m.Email, m.Name, string(m.Role), m.JoinedAt.UTC(), some(m.LastSeenAt)}
	}), err
}

type newMember struct {
	Email string `json:"email" required:"true"`
	Role  string `json:"role" required:"true" enum:"owner,admin,manager,user,auditor"`
}

// Invited is an invitation with its link, which cannot be read again.
type Invited struct {
	ID        uuid.UUID `json:"id" required:"true"`
	Email     string    `json:"email" required:"true"`
	Role      string    `json:"role" required:"true"`
	ExpiresAt time.Time `json:"expires_at" required:"true"`
	Link      string    `json:"link" required:"true" description:"For the new member; it works once."`
}

func (a *API) postMember(c ctx, actor auth.Actor, in newMember) (Invited, error) {
	i, token, err := a.Auth.AddMember(c, actor, in.Email, auth.Role(in.Role))
	link := strings.TrimRight(a.PublicURL, "/") + "/setup/" + url.PathEscape(token)
	return Invited{i.ID, i.Email, string(i.Role), i.ExpiresAt.UTC(), link}, err
}

type newRole struct {
	ID   uuid.UUID `path:"id" json:"-"`
	Role string    `json:"role" required:"true" enum:"owner,admin,manager,user,auditor"`
}

func (a *API) putRole(c ctx, actor auth.Actor, in newRole) (None, error) {
	return None{}, a.Auth.ChangeRole(c, actor, in.ID, auth.Role(in.Role))
}

type memberRef struct {
	ID uuid.UUID `path:"id" json:"-"`
}

func (a *API) deleteMember(c ctx, actor auth.Actor, in memberRef) (None, error) {
	return None{}, a.Auth.RemoveMember(c, actor, in.ID)
}
