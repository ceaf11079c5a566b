package api

import (
	"net/http"

	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
)

// table lists everything that the API answers.
func (a *API) table() []route {
	const get, post, put, del = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete
	const ok, created, accepted, gone = http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent

	version := op(a, get, "/version", "", ok, "What runs here", a.getVersion)
	version.public = true
	metrics := op(a, get, "/instances/:ref/metrics", auth.InstancesView, ok, "Requests and tokens of an instance, and what its node reports", a.getMetrics)
	metrics.alias = "/instances/:ref/metrics"

	groups := []struct {
		name string
		rows []route
	}{
		{"Installation", []route{
			version,
			op(a, get, "/me", auth.MembersView, ok, "Who is asking", a.getMe),
			op(a, get, "/organisations", auth.MembersView, ok, "Organisations of whoever asks", a.getOrganisations),
			op(a, get, "/loops", auth.PlatformOperate, ok, "Background loops of the process that answers", a.getLoops),
		}},
		{"Models", []route{
			op(a, get, "/models", auth.ModelsView, ok, "Models that can be deployed", a.getModels),
			op(a, post, "/models", auth.ModelsEdit, created, "Add a model of the organisation's own", a.postModel),
			op(a, get, "/models/:ref", auth.ModelsView, ok, "One model", a.getModel),
			op(a, get, "/models/:ref/prices", auth.ModelsView, ok, "Versions of a model's price, newest first", a.getPrices),
			op(a, put, "/models/:ref/fallback", auth.EndpointsEdit, ok, "Name the models that answer while no replica of this one is ready; none end that", a.putFallback),
			op(a, put, "/models/:ref/price", auth.PricesEdit, ok, "Set what a model's tokens cost from now on", a.putPrice),
			op(a, get, "/aliases", auth.EndpointsView, ok, "Names of the organisation's own for models", a.getAliases),
			op(a, post, "/aliases", auth.EndpointsEdit, created, "Let requests ask for a model by another name", a.postAlias),
			op(a, del, "/aliases/:name", auth.EndpointsEdit, gone, "Stop answering to an alias", a.deleteAlias),
			op(a, get, "/offers", auth.InstancesView, ok, "Machines that can be rented", a.getOffers),
		}},
		{"Deployments", []route{
			op(a, get, "/deployments", auth.InstancesView, ok, "Deployments by name", a.getDeployments),
			op(a, post, "/deployments", auth.InstancesOperate, created, "Deploy a model", a.postDeployment),
			op(a, get, "/deployments/:ref", auth.InstancesView, ok, "One deployment", a.getDeployment),
			op(a, post, "/deployments/:ref/scale", auth.InstancesOperate, ok, "Set the number of replicas", a.scaleDeployment),
			op(a, post, "/deployments/:ref/stop", auth.InstancesOperate, ok, "End all replicas and keep the deployment", a.verb(a.Instances.StopDeployment)),
			op(a, post, "/deployments/:ref/start", auth.InstancesOperate, ok, "Let a stopped deployment have its replicas again", a.verb(a.Instances.StartDeployment)),
			op(a, del, "/deployments/:ref", auth.InstancesOperate, gone, "End all replicas and forget the deployment", a.deleteDeployment),
		}},
		{"Instances", []route{
			op(a, get, "/instances", auth.InstancesView, ok, "Instances, newest first", a.getInstances),
			op(a, get, "/instances/:ref", auth.InstancesView, ok, "One instance with its steps and history", a.getInstance),
			metrics,
			op(a, get, "/instances/:ref/logs", auth.InstancesView, ok, "The end of a log on an instance's node", a.getLogs),
			op(a, post, "/instances/:ref/terminate", auth.InstancesOperate, accepted, "End an instance", a.operate(a.Instances.Terminate)),
			op(a, post, "/instances/:ref/replace", auth.InstancesOperate, accepted, "Have a new instance take an instance's place", a.operate(a.Instances.Replace)),
			op(a, post, "/instances/:ref/retry", auth.InstancesOperate, accepted, "Give a failed instance another attempt", a.operate(a.Instances.Retry)),
			op(a, post, "/instances/:ref/reinstall", auth.InstancesOperate, accepted, "Install an instance's server anew", a.operate(a.Instances.Reinstall)),
			op(a, post, "/instances/:ref/archive", auth.InstancesOperate, ok, "Take a terminated instance out of the lists", a.operate(a.Instances.Archive)),
			op(a, post, "/instances/:ref/cordon", auth.InstancesOperate, ok, "Keep new requests away from an instance", a.operate(a.Instances.Cordon)),
			op(a, post, "/instances/:ref/uncordon", auth.InstancesOperate, ok, "Let requests reach an instance again", a.operate(a.Instances.Uncordon)),
			op(a, get, "/strays", auth.PlatformOperate, ok, "Machines under our tag that no instance is known of", a.getStrays),
			op(a, del, "/strays/:id", auth.PlatformOperate, ok, "Delete the machine of an unknown instance; answers what is left, repeat until nothing is", a.deleteStray),
			op(a, get, "/nodes", auth.InstancesView, ok, "Nodes as their agents report them", a.getNodes),
		}},
		{"Routes", []route{
			op(a, get, "/routes", auth.EndpointsView, ok, "Where each model's requests go, as the process that answers sees it", a.getRoutes),
		}},
		{"Endpoints", []route{
			op(a, get, "/endpoints", auth.EndpointsView, ok, "OpenAI-compatible servers that run elsewhere", a.getEndpoints),
			op(a, post, "/endpoints", auth.EndpointsEdit, created, "Add an endpoint", a.postEndpoint),
			op(a, del, "/endpoints/:ref", auth.EndpointsEdit, gone, "Remove an endpoint", a.deleteEndpoint),
		}},
		{"Access", []route{
			op(a, get, "/keys", auth.KeysOwn, ok, "API keys", a.getKeys),
			op(a, post, "/keys", auth.KeysOwn, created, "Make an API key; its text is shown once", a.postKey),
			op(a, del, "/keys/:id", auth.KeysOwn, gone, "Revoke an API key", a.deleteKey),
			op(a, put, "/keys/:id/networks", auth.KeysOwn, gone, "Say where an API key may be used from", a.putNetworks),
			op(a, get, "/keys/:id/limits", auth.KeysOwn, ok, "What an API key may use", a.getKeyLimits),
			op(a, put, "/keys/:id/limits", auth.KeysOwn, ok, "Replace what an API key may use", a.putKeyLimits),
			op(a, get, "/members", auth.MembersView, ok, "Members of the organisation", a.getMembers),
			op(a, post, "/members", auth.MembersEdit, created, "Invite a member; the link is shown once", a.postMember),
			op(a, put, "/members/:id/role", auth.MembersEdit, gone, "Change a member's role", a.putRole),
			op(a, del, "/members/:id", auth.MembersEdit, gone, "Remove a member", a.deleteMember),
			op(a, get, "/members/:id/limits", auth.MembersView, ok, "What a member may use, over all keys", a.getMemberLimits),
			op(a, put, "/members/:id/limits", auth.LimitsEdit, ok, "Replace what a member may use", a.putMemberLimits),
			op(a, get, "/organisation/limits", auth.MembersView, ok, "What the organisation may use", a.getOrganisationLimits),
			op(a, put, "/organisation/limits", auth.LimitsEdit, ok, "Replace what the organisation may use", a.putOrganisationLimits),
			op(a, get, "/limits", auth.MembersView, ok, "Everything that is limited", a.getLimits),
			op(a, get, "/audit", auth.AuditView, ok, "Who changed what, newest first", a.getAudit),
		}},
		{"Usage and costs", []route{
			op(a, get, "/usage/summary", auth.UsageOwn, ok, "Requests, tokens and their cost in a period", a.getUsage),
			op(a, get, "/usage/records", auth.UsageOwn, ok, "Metered requests, newest first", a.getRecords),
			op(a, get, "/costs/current", auth.CostsView, ok, "Burn rate, month to date and forecast", a.getCosts),
			op(a, get, "/costs/charges", auth.CostsView, ok, "Priced intervals of servers, volumes and addresses", a.getCharges),
			op(a, get, "/costs/days", auth.CostsView, ok, "What each day cost", a.getDays),
		}},
	}
	var all []route
	for _, g := range groups {
		for _, r := range g.rows {
			r.group = g.name
			all = append(all, r)
		}
	}
	return all
}
