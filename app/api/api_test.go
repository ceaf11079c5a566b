package api_test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/api"
	"github.com/inventiv-it-for-ai/inventiv/app/web"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
)

// The document and the routes say the same, both ways.
func TestDocument_isWhatIsServed(t *testing.T) {
	t.Parallel()
	w := setup(t)
	a := w.as("", "GET", "/api/v1/openapi.json", "")
	var doc struct {
		OpenAPI string `json:"openapi"`
		Paths   map[string]map[string]struct {
			Summary    string           `json:"summary"`
			ID         string           `json:"operationId"`
			Security   []map[string]any `json:"security"`
			Parameters []struct {
				Name string `json:"name"`
				In   string `json:"in"`
			} `json:"parameters"`
			Responses map[string]struct {
				Content map[string]any `json:"content"`
			} `json:"responses"`
		} `json:"paths"`
		Components struct {
			Schemas map[string]any `json:"schemas"`
		} `json:"components"`
	}
	a.into(t, &doc)
	if a.status != http.StatusOK || !strings.HasPrefix(doc.OpenAPI, "3.1.") {
		t.Fatalf("document: %d, version %q", a.status, doc.OpenAPI)
	}
	parameter := regexp.MustCompile(`:([a-z]+)`)
	var served, documented []string
	for _, r := range w.router.Routes() {
		if strings.HasPrefix(r.Path, api.Base) && r.Path != api.Base+"/openapi.json" {
			served = append(served, r.Method+" "+parameter.ReplaceAllString(r.Path, "{$1}"))
		}
	}
	ids := map[string]bool{}
	for path, methods := range doc.Paths {
		for method, o := range methods {
			documented = append(documented, strings.ToUpper(method)+" "+path)
			if o.Summary == "" || ids[o.ID] || len(o.Responses) != 2 || o.Responses["default"].Content["application/problem+json"] == nil {
				t.Errorf("%s %s: summary %q, id %q, responses %v", method, path, o.Summary, o.ID, o.Responses)
			}
			ids[o.ID] = true
			if len(o.Security) == 0 && path != "/api/v1/version" {
				t.Errorf("%s %s has no security", method, path)
			}
			for _, name := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(path, -1) {
				in := slices.ContainsFunc(o.Parameters, func(p struct {
					Name string `json:"name"`
					In   string `json:"in"`
				}) bool {
					return p.In == "path" && p.Name == name[1]
				})
				if !in {
					t.Errorf("%s %s does not document {%s}", method, path, name[1])
				}
			}
		}
	}
	slices.Sort(served)
	slices.Sort(documented)
	if diff := cmp.Diff(served, documented); diff != "" {
		t.Errorf("served and documented (-served +documented)\n%s", diff)
	}
	if strings.Contains(a.body, `"null"`) {
		t.Error("the document speaks of null, which is never sent")
	}
	for name := range doc.Components.Schemas {
		if !regexp.MustCompile(`^[A-Z][A-Za-z]+$`).MatchString(name) {
			t.Errorf("schema %q has a name that no program can use", name)
		}
	}
	if got := w.router.Routes(); !slices.ContainsFunc(got, func(r web.Route) bool { return r.Path == "/instances/:ref/metrics" }) {
		t.Error("/instances/{id}/metrics is not served")
	}
}

// Every route refuses who may not use it, and nobody else, whatever is sent.
func TestPermissions_everyRouteAndRole(t *testing.T) {
	t.Parallel()
	w := setup(t)
	sessions := map[auth.Role]string{auth.Owner: w.Member(auth.Owner)}
	for _, role := range auth.Roles()[1:] {
		sessions[role] = w.Member(role)
	}
	fill := strings.NewReplacer(":ref", uuid.NewString(), ":id", uuid.NewString())
	for _, r := range w.api.Routes() {
		path := fill.Replace(r.Path)
		if got := w.as("", r.Method, path, "").status; (got == http.StatusUnauthorized) == r.Public {
			t.Errorf("%s %s by nobody: %d, public %v", r.Method, r.Path, got, r.Public)
		}
		for role, session := range sessions {
			a := w.as(session, r.Method, path, "")
			want := r.Public || role.Can(r.Need)
			if (a.status != http.StatusForbidden) != want || a.status >= 500 || a.status == http.StatusUnauthorized {
				t.Errorf("%s %s by %s: %d %s; may use it: %v", r.Method, r.Path, role, a.status, a.body, want)
			}
		}
	}
}

func TestKeys_onlyThoseOfScopeAdminMayAsk(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for scopes, want := range map[string]int{`["admin"]`: 200, `["inference"]`: 403} {
		var made api.CreatedKey
		w.do("POST", "/api/v1/keys", `{"name":"k","scopes":`+scopes+`}`).into(t, &made)
		a := w.as("", "GET", "/api/v1/me", "", "Authorization: Bearer "+made.Text)
		if a.status != want {
			t.Errorf("a key with %s: %d %s, want %d", scopes, a.status, a.body, want)
		}
	}
}

func TestDeployments_fromCreationToTheEnd(t *testing.T) {
	t.Parallel()
	w := setup(t)
	a := w.do("POST", "/api/v1/deployments", deployment)
	var made api.Deployment
	a.into(t, &made)
	want := api.Deployment{
		ID: made.ID, Name: "chat", Model: "inventiv/simulated-chat", Kind: "chat", Offers: []string{"mock/local-1/SIM-L4-1-24G"},
		Replicas: api.Replicas{Max: 2, IdleMinutes: new(15)}, VolumeGB: 20, Engine: made.Engine, CreatedBy: w.Owner.Ref(), CreatedAt: made.CreatedAt, Reason: made.Reason, Message: made.Message,
	}
	if diff := cmp.Diff(want, made); a.status != http.StatusCreated || diff != "" {
		t.Fatalf("create: %d (-want +got)\n%s", a.status, diff)
	}
	if a.header.Get("Warning") == "" {
		t.Error("B25: created without an Idempotency-Key and without a warning")
	}
	for _, step := range []struct {
		method, path, body string
		status             int
		in                 string
	}{
		{"GET", "/deployments", "", 200, `"name":"chat"`},
		{"GET", "/deployments/chat", "", 200, made.ID.String()},
		{"GET", "/deployments/" + made.ID.String(), "", 200, `"name":"chat"`},
		{"POST", "/deployments", deployment, 409, "already"},
		{"POST", "/deployments/chat/scale", `{"min":1,"max":3}`, 200, `"replicas":{"min":1,"max":3,"idle_minutes":15}`},
		{"POST", "/deployments/chat/scale", `{"min":2}`, 200, `"replicas":{"min":2,"max":2,"idle_minutes":15}`},
		{"POST", "/deployments/chat/scale", `{"min":-1}`, 422, `"pointer":"/replicas"`},
		{"POST", "/deployments/chat/scale", `{"min":2,"max":1}`, 422, `"pointer":"/replicas"`},
		{"POST", "/deployments/chat/scale", `{"min":0,"max":1,"idle_minutes":0}`, 200, `"replicas":{"min":0,"max":1,"idle_minutes":0}`},
		{"POST", "/deployments/chat/scale", `{"min":0,"max":1}`, 200, `"replicas":{"min":0,"max":1,"idle_minutes":0}`},
		{"POST", "/deployments/chat/scale", `{"min":0,"idle_minutes":43201}`, 422, `"pointer":"/idle_minutes"`},
		{"POST", "/deployments/chat/stop", "", 200, `"stopped":true`},
		{"POST", "/deployments/chat/start", "{}", 200, `"stopped":false`},
		{"POST", "/deployments/chat/start", `{"x":1}`, 400, `"code":"unknown_field"`},
		{"GET", "/instances", "", 200, `{"items":[]}`},
		{"GET", "/instances?deployment=chat&state=ready&limit=5", "", 200, `{"items":[]}`},
		{"GET", "/nodes", "", 200, `{"items":[]}`},
		{"DELETE", "/deployments/chat", "", 204, ""},
		{"DELETE", "/deployments/chat", "", 404, `"code":"not_found"`},
		{"GET", "/deployments", "", 200, `{"items":[]}`},
	} {
		a := w.do(step.method, "/api/v1"+step.path, step.body)
		if a.status != step.status || !strings.Contains(a.body, step.in) {
			t.Errorf("%s %s %s: %d %s; want %d with %s", step.method, step.path, step.body, a.status, a.body, step.status, step.in)
		}
	}
}

func TestB26_deployWhatCannotRun(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, c := range []struct{ body, in string }{
		{strings.Replace(deployment, "local-1", "lcoal-1", 1), "mock/local-1/SIM-L4-1-24G"},
		{strings.Replace(deployment, "SIM-L4-1-24G", "L4", 1), "mock/local-1/SIM-L4-1-24G"},
		{strings.Replace(deployment, "inventiv/simulated-chat", "Qwen/Qwen2.5-72B-Instruct", 1), "160 GB"},
	} {
		a := w.do("POST", "/api/v1/deployments", c.body)
		if a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, c.in) {
			t.Errorf("%s: %d %s; want 422 with %s", c.body, a.status, a.body, c.in)
		}
	}
}

func TestModels_pricesAreExactAndTheOrganisationsOwn(t *testing.T) {
	t.Parallel()
	w := setup(t)
	const model = "/api/v1/models/Qwen%2FQwen2.5-7B-Instruct"
	a := w.do("PUT", model+"/price", `{"input":"0.123456789","output":"1,5"}`)
	if a.status != 200 || !strings.Contains(a.body, `"input":"0.123456789","output":"1.50","own":true`) {
		t.Fatalf("set a price: %d %s", a.status, a.body)
	}
	for body, want := range map[string]string{
		`{"input":"-1","output":"0"}`: "422 /input", `{"input":"0.0000000001","output":"0"}`: "400 /input", `{"input":1,"output":0}`: "400 /input",
		`{"input":"1","output":"1e9"}`: "400 /output", `{"input":"NaN","output":"1"}`: "400 /input", `{"input":"1","output":""}`: "400 /output",
	} {
		a := w.do("PUT", model+"/price", body)
		if p := a.problem(t); len(p.Errors) != 1 || fmt.Sprint(a.status, " ", p.Errors[0].Pointer) != want {
			t.Errorf("%s: %d %s, want %s", body, a.status, a.body, want)
		}
	}
	if a := w.as(w.Stranger(), "GET", model, ""); !strings.Contains(a.body, `"input":"0.20","output":"0.20","own":false`) {
		t.Errorf("another organisation sees %s", a.body)
	}
	if a := w.do("GET", model+"/prices", ""); strings.Count(a.body, `"input"`) != 2 {
		t.Errorf("versions: %s, want two", a.body)
	}
	if a := w.do("POST", "/api/v1/models", `{"name":"own/m","required_vram_gb":12,"input":"0.1"}`); a.status != 201 || !strings.Contains(a.body, `"own":true`) {
		t.Errorf("add a model: %d %s", a.status, a.body)
	}
	offers := w.do("GET", "/api/v1/offers?model=inventiv%2Fsimulated-chat", "").body
	if strings.Count(offers, `"provider":"mock"`) != 6 || strings.Contains(offers, "scaleway") {
		t.Errorf("offers for the simulated model: %s, want the mock's six only", offers)
	}
}

func TestAccess_endpointsKeysAndMembers(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var made api.CreatedKey
	w.do("POST", "/api/v1/keys", `{"name":"laptop"}`).into(t, &made)
	if !strings.HasPrefix(made.Text, made.Prefix) || made.State != "active" || !slices.Equal(made.Scopes, []string{"inference"}) {
		t.Fatalf("created key %+v", made)
	}
	if list := w.do("GET", "/api/v1/keys", "").body; strings.Contains(list, made.Text) || !strings.Contains(list, made.Prefix) {
		t.Errorf("keys: %s; want the prefix and not the key", list)
	}
	endpoint := w.do("POST", "/api/v1/endpoints", `{"name":"e","model":"my/model","url":"http://127.0.0.1:9/v1","key":"hidden-secret"}`)
	if endpoint.status != 201 || strings.Contains(endpoint.body, "hidden-secret") || !strings.Contains(endpoint.body, `"keyed":true`) {
		t.Errorf("endpoint: %d %s", endpoint.status, endpoint.body)
	}
	if a := w.do("GET", "/api/v1/models/my%2Fmodel", ""); a.status != 200 || !strings.Contains(a.body, `"input":"0.00"`) {
		t.Errorf("its model: %d %s, want a zero-priced entry", a.status, a.body)
	}
	for body, want := range map[string]int{
		`{"name":"fast/one","model":"my/model"}`: 201, `{"name":"my/model","model":"inventiv/simulated-chat"}`: 409,
		`{"name":"two words","model":"my/model"}`: 422, `{"name":"other","model":"no/such"}`: 404,
	} {
		if a := w.do("POST", "/api/v1/aliases", body); a.status != want {
			t.Errorf("alias %s: %d %s, want %d", body, a.status, a.body, want)
		}
	}
	if list := w.do("GET", "/api/v1/aliases", "").body; !strings.Contains(list, `"name":"fast/one","model":"my/model","created_by":"`) {
		t.Errorf("aliases: %s", list)
	}
	fallback := func(model, models string) int {
		return w.do("PUT", "/api/v1/models/"+model+"/fallback", `{"models":`+models+`}`).status
	}
	if got := fallback("my%2Fmodel", `["inventiv/simulated-chat"]`); got != 200 {
		t.Errorf("fallback: %d", got)
	}
	for models, want := range map[string]int{`["my/model"]`: 422, `["no/such"]`: 404, `["inventiv/simulated-embedding"]`: 422, `[]`: 200} {
		if got := fallback("my%2Fmodel", models); got != want {
			t.Errorf("fallback to %s: %d, want %d", models, got, want)
		}
	}
	var invited api.Invited
	w.do("POST", "/api/v1/members", `{"email":"bob@example.test","role":"user"}`).into(t, &invited)
	if !strings.HasPrefix(invited.Link, "http://127.0.0.1/setup/") {
		t.Errorf("invitation %+v", invited)
	}
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/routes", 200},
		{"DELETE", "/keys/" + made.ID.String(), 204},
		{"DELETE", "/aliases/fast%2Fone", 204}, {"DELETE", "/aliases/fast%2Fone", 404},
		{"DELETE", "/endpoints/e", 204}, {"DELETE", "/endpoints/e", 404},
		{"GET", "/members", 200}, {"GET", "/organisations", 200}, {"GET", "/loops", 200},
		{"GET", "/strays", 200}, {"DELETE", "/strays/" + made.ID.String(), 404}, {"DELETE", "/strays/x", 400},
		{"DELETE", "/members/" + w.Owner.UserID.String(), 409}, // the last owner
	} {
		if a := w.do(c.method, "/api/v1"+c.path, ""); a.status != c.status {
			t.Errorf("%s %s: %d %s, want %d", c.method, c.path, a.status, a.body, c.status)
		}
	}
}
