package console_test

import (
	"context"
	"html"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/app/worldtest"
	"github.com/inventiv-it-for-ai/inventiv/modules/finops"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
)

const (
	password = worldtest.Password
	model    = "inventiv/simulated-chat"
	offer    = "mock/local-1/SIM-L4-1-24G"
)

// site is a console as a browser without scripts has it.
type site struct{ *world }

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newSite(t *testing.T) *site {
	t.Helper()
	return &site{setup(t)}
}

// answer is a page as a browser without scripts gets it.
type answer struct {
	status   int
	location string
	text     string // the body with its entities resolved
}

// wants checks the status and that the page says each of the texts.
func (a answer) wants(t *testing.T, status int, texts ...string) {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d: %s", a.status, status, a.text)
	}
	for _, text := range texts {
		if !strings.Contains(a.text, text) {
			t.Errorf("the page does not say %q: %s", text, a.text)
		}
	}
}

func (s *site) get(path string) answer {
	s.t.Helper()
	return s.send(path, nil)
}

func (s *site) post(path string, pairs ...string) answer {
	s.t.Helper()
	return s.send(path, fields(pairs...))
}

func (s *site) send(path string, form url.Values) answer {
	s.t.Helper()
	r := s.as(s.Session, path, form)
	return answer{r.status, r.header.Get("Location"), html.UnescapeString(r.body)}
}

// launch runs the loop that starts what deployments want until there is an
// instance, and returns it.
func (s *site) launch() instance.Instance {
	s.t.Helper()
	ctx, stop := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer stop()
	done := make(chan struct{})
	for _, l := range s.Instances.Loops() {
		if l.Status().Name == "scale" {
			go func() { defer close(done); l.Run(ctx) }()
		}
	}
	defer func() { stop(); <-done }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		all, err := s.Instances.Instances(ctx, s.Owner.Organisation, instance.Filter{})
		ok(s.t, err)
		if len(all) > 0 {
			return all[0]
		}
		<-tick.C
	}
}

func TestDeploy_refusalsKeepTheForm(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.get("/deployments").wants(t, 200, "No deployment yet", `href="/deployments/new"`)
	s.get("/deployments/new").wants(t, 200, "Deploy a model", model, "Choose a model first")
	s.get("/deployments/new?model="+url.QueryEscape(model)).wants(t, 200, "Deploy "+model, `value="`+offer+`"`, `value="simulated-chat"`)
	fragment := s.get("/deployments/new?fragment=plan&model=" + url.QueryEscape(model))
	fragment.wants(t, 200, `id="plan"`)
	if strings.Contains(fragment.text, "<html") {
		t.Error("a fragment is a whole page")
	}
	wish := func(name, low, high, was string) answer {
		return s.post("/deployments", "model", model, "first", offer, "name", name, "min", low, "max", high, "was", was)
	}
	wish("Not A Name", "1", "1", model).wants(t, 422, "lower-case letters", `value="Not A Name"`, `value="`+offer+`"`)
	wish("chat", "3", "1", model).wants(t, 422, "3 to 1 replicas cannot be kept", `value="chat"`, `href="#min"`)
	wish("chat", "many", "1", model).wants(t, 422, "replicas cannot be kept", `value="chat"`)
	wish("chat", "1", "1", "another/model").wants(t, 422, "Nothing was deployed")
	s.post("/deployments", "model", model, "first", offer, "name", "chat", "min", "0", "max", "1", "idle", "99999").
		wants(t, 422, "after 99999 minutes", `value="99999"`, `href="#idle"`)
	s.post("/deployments", "model", model, "first", "mock/local-1/NOWHERE", "name", "chat", "min", "1", "max", "1").
		wants(t, 422, "NOWHERE", `value="chat"`)
	if all, err := s.Instances.Deployments(t.Context(), s.Owner.Organisation); err != nil || len(all) != 0 {
		t.Fatalf("%d deployments after refusals (%v), want none", len(all), err)
	}
	made := wish("chat", "0", "1", model)
	made.wants(t, 303)
	s.get(made.location).wants(t, 200, "chat", model, "SIM-L4-1-24G", "None runs now")
	wish("chat", "0", "1", model).wants(t, 409, "There is a deployment named chat already")
}

func TestDeployment_scaleStopStartDelete(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.post("/deployments", "model", model, "first", offer, "name", "chat", "min", "0", "max", "1").wants(t, 303)
	at := "/deployments/chat"
	s.get(at+"?fragment=deployment").wants(t, 200, "chat is not serving")
	s.get(at+"?fragment=nothing").wants(t, 404)
	s.get("/deployments/other").wants(t, 404)

	s.post(at+"/scale", "min", "2", "max", "1").wants(t, 422, "2 to 1 replicas cannot be kept")
	s.post(at+"/scale", "min", "0", "max", "2", "idle", "forever").wants(t, 422, "after -1 minutes", `href="#idle"`)
	s.post(at+"/scale", "min", "0", "max", "2", "idle", "45").wants(t, 303)
	s.get(at).wants(t, 200, "0–2", `value="45"`)

	s.get(at+"/stop").wants(t, 200, "Stop chat?")
	s.post(at+"/stop", "confirm", "cha").wants(t, 422, "What was typed is not chat")
	s.post(at+"/stop", "confirm", "chat").wants(t, 303)
	s.get(at).wants(t, 200, "chat is stopped")
	s.post(at+"/start").wants(t, 303)
	s.get(at).wants(t, 200, "chat is not serving")

	s.get(at+"/delete").wants(t, 200, "Delete chat?")
	s.post(at+"/delete").wants(t, 422, "Nothing was done")
	s.post(at+"/delete", "confirm", "chat").wants(t, 303)
	s.get("/deployments").wants(t, 200, "No deployment yet")
}

func TestInstance_pagesAndVerbs(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.get("/instances").wants(t, 200, "No instance is running")
	s.post("/deployments", "model", model, "first", offer, "name", "chat", "min", "1", "max", "1").wants(t, 303)
	i := s.launch()
	hour := time.Now().Add(-time.Hour)
	s.Billed = []finops.Resource{{
		ID: uuid.Must(uuid.NewV7()), Organisation: s.Owner.Organisation, InstanceID: i.ID, Instance: i.Name, Model: i.Model,
		Provider: "mock", Zone: "local-1", Kind: "server", Description: "Server under test", PricePerHour: money.EUR(750_000_000),
		CreatedAt: hour, UpdatedAt: hour,
	}}
	_, err := s.Finops.Meter(t.Context())
	ok(t, err)

	s.get("/instances").wants(t, 200, i.Name, `data-state="provisioning"`, "0.75")
	s.get("/instances?fragment=instances&show=ended").wants(t, 200, `aria-current="page"`)
	at := "/instances/" + i.Name
	s.get(at).wants(t, 200, i.Name, "Cost so far", "Server under test", `aria-current="step"`, "History", `id="log-holder"`)
	s.get(at+"?fragment=instance").wants(t, 200, `data-testid="cost-so-far"`)
	s.get(at+"?fragment=log&log=engine").wants(t, 200, `log=engine#log" aria-current="page"`, "Operations")
	s.get("/instances/inst-00000000").wants(t, 404)

	s.get(at+"/explode").wants(t, 404)
	s.post(at+"/explode").wants(t, 404)
	s.get(at+"/terminate").wants(t, 200, "Terminate "+i.Name+"?", `name="confirm"`)
	s.post(at+"/archive", "confirm", i.Name).wants(t, 409, "Only a terminated instance can be archived")
	s.post(at+"/terminate", "confirm", "yes").wants(t, 422, "What was typed is not "+i.Name)
	s.post(at+"/cordon").wants(t, 303)
	s.get(at).wants(t, 200, "cordoned")
	s.post(at+"/uncordon").wants(t, 303)
	s.post(at+"/terminate", "confirm", i.Name).wants(t, 303)
	d, err := s.Instances.Instance(t.Context(), s.Owner.Organisation, i.Name)
	ok(t, err)
	if d.Desired != instance.WantTerminated {
		t.Errorf("desired %s after terminate, want %s", d.Desired, instance.WantTerminated)
	}
	s.get(at).wants(t, 200, "Its owner terminated it.")
}
