// Package console is what people see: the pages, each a handler in a small
// file, and the stream of events that keeps them live.
//
// A handler reads the form, calls a service, and renders or redirects. A
// refusal renders the form again with what was typed and status 422. A region
// of a page is fetched alone with ?fragment=name. Every route says who may use
// it; the services decide again.
package console

import (
	"log/slog"
	"net/http"
	"strings"

	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/loop"
	"github.com/inventiv-it-for-ai/inventiv/app/web"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/catalog"
	"github.com/inventiv-it-for-ai/inventiv/modules/events"
	"github.com/inventiv-it-for-ai/inventiv/modules/finops"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/limit"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
	"github.com/inventiv-it-for-ai/inventiv/views/assets"
)

// SignIn is the path of the sign-in page.
const SignIn = "/sign-in"

// Config is what the pages are made of.
type Config struct {
	Auth      *auth.Service
	Guard     *auth.Guard
	Catalog   *catalog.Service
	Instances *instance.Service
	Finops    *finops.Service
	Gateway   *gateway.Service
	Events    *events.Hub
	Loops     []*loop.Loop // of this process
	Providers []string     // whose machines this process may rent; empty: any
	PublicURL string       // links and snippets begin with it
	AuditDays int          // for how long the audit is kept; 0: for ever
	Version   string
	Log       *slog.Logger
}

// Console answers the pages.
type Console struct{ Config }

// New returns the console of c.
func New(c Config) *Console {
	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	return &Console{c}
}

// baseURL is what an OpenAI client is given.
func (p *Console) baseURL() string { return p.PublicURL + "/v1" }

// row is a route of the console and who may use it.
type row struct {
	method, path string
	policy       web.Policy
	handler      echo.HandlerFunc
}

// Register adds every route of the console to r.
func (p *Console) Register(r *web.Router) error {
	for _, t := range p.table() {
		r.Handle(t.method, t.path, t.policy, t.handler)
	}
	return nil
}

func (p *Console) table() []row {
	const get, post = http.MethodGet, http.MethodPost
	may := func(perm auth.Permission) web.Policy { return p.Guard.Session(perm) }
	public, signedIn := p.Guard.Public(), p.Guard.SignedIn()
	files := echo.WrapHandler(assets.Handler())
	return []row{
		{get, assets.Prefix + "*", public, files},
		{get, SignIn, public, p.getSignIn},
		{post, SignIn, public, p.postSignIn},
		{post, "/sign-out", signedIn, p.postSignOut},
		{get, "/setup/:token", public, p.getSetUp},
		{post, "/setup/:token", public, p.postSetUp},
		{post, "/organisation", signedIn, p.postOrganisation},

		{get, "/", signedIn, p.getHome},
		{get, "/meter", signedIn, p.getMeter},
		{get, "/events/stream", signedIn, p.getEvents},

		{get, "/deployments", may(auth.InstancesView), p.getDeployments},
		{post, "/deployments", may(auth.InstancesOperate), p.postDeployment},
		{get, "/deployments/new", may(auth.InstancesOperate), p.getDeploy},
		{get, "/deployments/:ref", may(auth.InstancesView), p.getDeployment},
		{post, "/deployments/:ref/scale", may(auth.InstancesOperate), p.postScale},
		{post, "/deployments/:ref/start", may(auth.InstancesOperate), p.postStart},
		{get, "/deployments/:ref/stop", may(auth.InstancesOperate), p.getStop},
		{post, "/deployments/:ref/stop", may(auth.InstancesOperate), p.postStop},
		{get, "/deployments/:ref/delete", may(auth.InstancesOperate), p.getDelete},
		{post, "/deployments/:ref/delete", may(auth.InstancesOperate), p.postDelete},

		{get, "/instances", may(auth.InstancesView), p.getInstances},
		{get, "/instances/:ref", may(auth.InstancesView), p.getInstance},
		{get, "/instances/:ref/:verb", may(auth.InstancesOperate), p.getVerb},
		{post, "/instances/:ref/:verb", may(auth.InstancesOperate), p.postVerb},

		{get, "/models", may(auth.ModelsView), p.getModels},
		{get, "/models/:ref/price", may(auth.PricesEdit), p.getPrice},
		{post, "/models/:ref/price", may(auth.PricesEdit), p.postPrice},
		{get, "/models/:ref/fallback", may(auth.EndpointsEdit), p.getFallback},
		{post, "/models/:ref/fallback", may(auth.EndpointsEdit), p.postFallback},

		{post, "/aliases", may(auth.EndpointsEdit), p.postAlias},
		{get, "/aliases/:name/remove", may(auth.EndpointsEdit), p.getRemoveAlias},
		{post, "/aliases/:name/remove", may(auth.EndpointsEdit), p.postRemoveAlias},

		{get, "/endpoints", may(auth.EndpointsView), p.getEndpoints},
		{post, "/endpoints", may(auth.EndpointsEdit), p.postEndpoint},
		{get, "/endpoints/:ref/remove", may(auth.EndpointsEdit), p.getRemoveEndpoint},
		{post, "/endpoints/:ref/remove", may(auth.EndpointsEdit), p.postRemoveEndpoint},

		{get, "/playground", may(auth.InferenceUse), p.getPlayground},
		{post, "/playground/v1/chat/completions", may(auth.InferenceUse), p.postChat},

		{get, "/keys", may(auth.KeysOwn), p.getKeys},
		{post, "/keys", may(auth.KeysOwn), p.postKey},
		{get, "/keys/:id/revoke", may(auth.KeysOwn), p.getRevoke},
		{post, "/keys/:id/revoke", may(auth.KeysOwn), p.postRevoke},
		{get, "/keys/:id/limits", may(auth.KeysOwn), p.getLimits(limit.Key)},
		{post, "/keys/:id/limits", may(auth.KeysOwn), p.postLimits(limit.Key)},

		{get, "/usage", may(auth.UsageOwn), p.getUsage},
		{get, "/usage.csv", may(auth.UsageOwn), p.getUsageCSV},
		{get, "/requests", may(auth.UsageOwn), p.getRequests},
		{get, "/requests/:id", may(auth.UsageOwn), p.getRequest},

		{get, "/members", may(auth.MembersView), p.getMembers},
		{post, "/members", may(auth.MembersEdit), p.postMember},
		{post, "/members/:id/role", may(auth.MembersEdit), p.postRole},
		{get, "/members/:id/remove", may(auth.MembersEdit), p.getRemoveMember},
		{post, "/members/:id/remove", may(auth.MembersEdit), p.postRemoveMember},
		{get, "/members/:id/limits", may(auth.LimitsEdit), p.getLimits(limit.Member)},
		{post, "/members/:id/limits", may(auth.LimitsEdit), p.postLimits(limit.Member)},
		{get, "/organisation/limits", may(auth.LimitsEdit), p.getLimits(limit.Organisation)},
		{post, "/organisation/limits", may(auth.LimitsEdit), p.postLimits(limit.Organisation)},

		{get, "/audit", may(auth.AuditView), p.getAudit},
		{get, "/loops", may(auth.PlatformOperate), p.getLoops},

		{get, "/account", signedIn, p.getAccount},
		{post, "/account/password", signedIn, p.postPassword},
		{post, "/account/theme", signedIn, p.postTheme},
		{post, "/account/sessions/:id/end", signedIn, p.postEndSession},
	}
}
