package auth

import (
	"slices"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

// Role is what a member is in one organisation: a name for a set of
// permissions.
type Role string

// The roles. They are sets, not rungs of a ladder: an owner has everything, but
// no other role contains all of another one's permissions by rank.
const (
	Owner   Role = "owner"   // answers for the organisation
	Admin   Role = "admin"   // makes it work: machines, models, keys, members
	Manager Role = "manager" // makes it affordable: prices, costs, usage
	User    Role = "user"    // uses the models
	Auditor Role = "auditor" // reads everything, changes nothing
)

// Roles lists the roles in the order in which people are shown them.
func Roles() []Role { return []Role{Owner, Admin, Manager, User, Auditor} }

// Permission is one thing that may be done, as noun.verb.
type Permission string

// The permissions. Those of a role hold in one organisation; PlatformOperate is
// held by the operators of the platform, whatever their role.
const (
	InstancesView    Permission = "instances.view"
	InstancesOperate Permission = "instances.operate" // deploy, scale, terminate, reinstall
	ModelsView       Permission = "models.view"
	ModelsEdit       Permission = "models.edit"
	PricesEdit       Permission = "prices.edit"
	EndpointsView    Permission = "endpoints.view"
	EndpointsEdit    Permission = "endpoints.edit"
	KeysOwn          Permission = "keys.own" // make, list and revoke one's own
	KeysAll          Permission = "keys.all" // list and revoke everybody's
	MembersView      Permission = "members.view"
	MembersEdit      Permission = "members.edit"
	UsageOwn         Permission = "usage.own"
	UsageAll         Permission = "usage.all"
	CostsView        Permission = "costs.view"
	InferenceUse     Permission = "inference.use"
	LimitsEdit       Permission = "limits.edit" // of members and of the organisation
	AuditView        Permission = "audit.view"
	PlatformOperate  Permission = "platform.operate" // loops, providers, organisations, private endpoint URLs
)

// Permissions lists every permission that a role can hold.
func Permissions() []Permission {
	return []Permission{
		InstancesView, InstancesOperate, ModelsView, ModelsEdit, PricesEdit, EndpointsView, EndpointsEdit,
		KeysOwn, KeysAll, MembersView, MembersEdit, UsageOwn, UsageAll, CostsView, LimitsEdit, InferenceUse, AuditView,
	}
}

// holds says what each role may do; doc.go prints it as a table.
var holds = map[Role][]Permission{
	Owner: Permissions(),
	Admin: slices.DeleteFunc(Permissions(), func(p Permission) bool { return p == PricesEdit }),
	Manager: {
		InstancesView, ModelsView, PricesEdit, EndpointsView, KeysOwn, MembersView,
		UsageOwn, UsageAll, CostsView, LimitsEdit, InferenceUse, AuditView,
	},
	User: {InstancesView, ModelsView, EndpointsView, KeysOwn, MembersView, UsageOwn, InferenceUse},
	Auditor: {
		InstancesView, ModelsView, EndpointsView, MembersView, UsageOwn, UsageAll, CostsView, AuditView,
	},
}

// Can reports whether the role has the permission.
func (r Role) Can(p Permission) bool { return slices.Contains(holds[r], p) }

// grants says which roles each role gives and takes. That a role may give
// another one is a decision of its own (docs/adr/0011) and does not follow from
// what either of them may do.
var grants = map[Role][]Role{
	Owner: Roles(),
	Admin: {Manager, User, Auditor},
}

// Grants reports whether a member with this role may give role to somebody, or
// take it away: an owner every role, an admin those below his own, which are not
// his own and not owner. Nobody else may grant any.
func (r Role) Grants(role Role) bool { return slices.Contains(grants[r], role) }

// Scopes is what an API key was made for, as a set of bits.
type Scopes uint8

// The scopes of an API key.
const (
	ScopeInference Scopes = 1 << iota // call the models on /v1
	ScopeAdmin                        // use the JSON API as its owner may
)

// scopeNames are the scopes' names in the database, the API and the CLI.
var scopeNames = []struct {
	scope Scopes
	name  string
}{{ScopeInference, "inference"}, {ScopeAdmin, "admin"}}

// Has reports whether s holds all of scope.
func (s Scopes) Has(scope Scopes) bool { return s&scope == scope }

// Names returns the scopes' names.
func (s Scopes) Names() []string {
	names := []string{}
	for _, n := range scopeNames {
		if s.Has(n.scope) {
			names = append(names, n.name)
		}
	}
	return names
}

// ParseScopes returns the scopes with these names, and fault.Invalid when there
// is none or one is unknown.
func ParseScopes(names []string) (s Scopes, err error) {
	for _, name := range names {
		scope := scopesNamed([]string{name})
		if scope == 0 {
			return 0, fault.Newf(fault.Invalid, "There is no scope %q.", name).
				WithFix("Use inference, admin, or both.").WithField("scopes")
		}
		s |= scope
	}
	if s == 0 {
		return 0, fault.New(fault.Invalid, "An API key needs a scope.").WithFix("Use inference, admin, or both.").WithField("scopes")
	}
	return s, nil
}

// scopesNamed returns the scopes with these names. One that it does not know
// counts for nothing: a newer release's scope must not widen a key here.
func scopesNamed(names []string) (s Scopes) {
	for _, n := range scopeNames {
		if slices.Contains(names, n.name) {
			s |= n.scope
		}
	}
	return s
}

// permit reports whether a key with these scopes may use the permission, when
// its owner has it.
func (s Scopes) permit(p Permission) bool {
	if p == InferenceUse {
		return s.Has(ScopeInference)
	}
	return s.Has(ScopeAdmin)
}
