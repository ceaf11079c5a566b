package auth

import "slices"

// Role is what a member is in an organisation.
type Role string

// The roles. They are sets of permissions; none contains all of another's by
// rank.
const (
	Owner   Role = "owner"   // everything in the organisation
	Admin   Role = "admin"   // makes it work: machines, models, keys, members
	Manager Role = "manager" // makes it affordable: prices, costs, usage
	User    Role = "user"    // uses the models
	Auditor Role = "auditor" // reads everything, changes nothing
)

// Roles lists the roles as people choose among them.
func Roles() []Role { return []Role{Owner, Admin, Manager, User, Auditor} }

// Permission is one thing that may be done, as noun.verb.
type Permission string

// The permissions.
const (
	InstancesView    Permission = "instances.view"
	InstancesOperate Permission = "instances.operate" // deploy, terminate, reinstall
	ModelsView       Permission = "models.view"
	ModelsEdit       Permission = "models.edit"
	PricesEdit       Permission = "prices.edit"
	EndpointsView    Permission = "endpoints.view"
	EndpointsEdit    Permission = "endpoints.edit"
	KeysOwn          Permission = "keys.own"
	KeysAll          Permission = "keys.all"
	MembersView      Permission = "members.view"
	MembersEdit      Permission = "members.edit"
	UsageOwn         Permission = "usage.own"
	UsageAll         Permission = "usage.all"
	CostsView        Permission = "costs.view"
	InferenceUse     Permission = "inference.use"
	AuditView        Permission = "audit.view"
	PlatformOperate  Permission = "platform.operate" // the operator of the platform, whatever the role
	Anyone           Permission = ""                 // signed in is enough
)

// Permissions lists every permission a role can have.
func Permissions() []Permission {
	return []Permission{
		InstancesView, InstancesOperate, ModelsView, ModelsEdit, PricesEdit, EndpointsView, EndpointsEdit,
		KeysOwn, KeysAll, MembersView, MembersEdit, UsageOwn, UsageAll, CostsView, InferenceUse, AuditView,
	}
}

// Can reports whether the role has the permission.
func (r Role) Can(p Permission) bool {
	switch r {
	case Owner:
		return p != PlatformOperate
	case Admin:
		return p != PlatformOperate && p != PricesEdit
	case Manager:
		return slices.Contains([]Permission{
			Anyone, InstancesView, ModelsView, PricesEdit, EndpointsView, KeysOwn, MembersView, UsageOwn, UsageAll, CostsView,
			InferenceUse, AuditView,
		}, p)
	case User:
		return slices.Contains([]Permission{
			Anyone, InstancesView, ModelsView, EndpointsView, KeysOwn, MembersView, UsageOwn, InferenceUse,
		}, p)
	case Auditor:
		return slices.Contains([]Permission{
			Anyone, InstancesView, ModelsView, EndpointsView, MembersView, UsageOwn, UsageAll, CostsView, AuditView,
		}, p)
	}
	return false
}

// MayGrant reports whether somebody with this role may give or take role to a
// member: owners any, admins what is not above them, nobody else anything.
func (r Role) MayGrant(role Role) bool {
	switch r {
	case Owner:
		return slices.Contains(Roles(), role)
	case Admin:
		return role == Admin || role == Manager || role == User || role == Auditor
	case Manager, User, Auditor:
	}
	return false
}
