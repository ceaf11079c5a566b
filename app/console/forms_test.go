package console_test

import (
	"context"
	"encoding/csv"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway"
)

// deploy makes a deployment without replicas and returns its page.
func (w *world) deploy(name string) string {
	w.t.Helper()
	m, err := w.Catalog.Model(w.t.Context(), w.Owner.Organisation, "inventiv/simulated-chat")
	ok(w.t, err)
	a := w.post("/deployments", fields("name", name, "model", m.ID.String(), "first", offer, "min", "0", "max", "1"))
	if a.status != http.StatusSeeOther {
		w.t.Fatalf("deploy: %d %s", a.status, a.body)
	}
	return a.header.Get("Location")
}

// B22: what belongs to another organisation is not there.
func TestTenants_B22_seeNothingOfEachOther(t *testing.T) {
	t.Parallel()
	w := setup(t)
	page := w.deploy("secret-chat")
	want(t, w.post("/endpoints", fields("name", "secret-server", "model", "secret/model", "url", "http://127.0.0.1:9/v1")), http.StatusSeeOther)
	made := w.post("/keys", fields("name", "secret-key", "scope", "inference", "expires", "90"))
	key := regexp.MustCompile(`/keys/([0-9a-f-]{36})/revoke`).FindStringSubmatch(made.body)
	if key == nil {
		t.Fatal("no key was made")
	}
	eve := w.Stranger()
	for _, path := range []string{"/", "/deployments", "/instances?show=all", "/endpoints", "/keys", "/members", "/usage", "/usage.csv", "/models", "/playground"} {
		a := w.as(eve, path, nil)
		if a.status != http.StatusOK {
			t.Errorf("%s: %d", path, a.status)
		}
		for _, secret := range []string{"secret-chat", "secret-server", "secret/model", "secret-key", "ada@example.test"} {
			// The owner of the first organisation founded the second one.
			if strings.Contains(a.body, secret) && (secret != "ada@example.test" || path != "/members") {
				t.Errorf("%s shows %q to another organisation", path, secret)
			}
		}
	}
	for _, path := range []string{page, page + "/stop", page + "/delete", "/endpoints/secret-server/remove", "/keys/" + key[1] + "/revoke"} {
		want(t, w.as(eve, path, nil), http.StatusNotFound)
	}
	for _, path := range []string{page + "/stop", page + "/scale", page + "/delete", "/endpoints/secret-server/remove", "/keys/" + key[1] + "/revoke"} {
		want(t, w.as(eve, path, fields("confirm", "secret-chat", "min", "0", "max", "1")), http.StatusNotFound)
	}
	want(t, w.get("/keys"), http.StatusOK, "1 API key is active")
}

func TestKeys_areShownOnceAndRevoked(t *testing.T) {
	t.Parallel()
	w := setup(t)
	made := w.post("/keys", fields("name", "ci", "scope", "inference", "expires", "30"))
	secret := regexp.MustCompile(`sk-inv-[0-9A-Za-z]{10}-[0-9A-Za-z]{49}`).FindString(made.body)
	want(t, made, http.StatusOK, "Key ci is ready", secret)
	if made.header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control %q", made.header.Get("Cache-Control"))
	}
	list := w.get("/keys")
	want(t, list, http.StatusOK, "ci", "1 API key is active")
	if secret == "" || strings.Contains(list.body, secret) {
		t.Error("the key is shown again, or was never shown")
	}
	id := regexp.MustCompile(`/keys/([0-9a-f-]{36})/revoke`).FindStringSubmatch(list.body)[1]
	want(t, w.get("/keys/"+id+"/revoke"), http.StatusOK, "Revoke ci?")
	want(t, w.post("/keys/"+id+"/revoke", fields()), http.StatusSeeOther)
	want(t, w.get("/keys"), http.StatusOK, "No API key is active", "Revoked")
	want(t, w.post("/keys", fields("name", "", "scope", "inference")), http.StatusUnprocessableEntity, `role="alert"`)
	want(t, w.post("/keys", fields("name", "x", "scope", "everything")), http.StatusUnprocessableEntity)
}

func TestMembers_areInvitedChangedAndRemoved(t *testing.T) {
	t.Parallel()
	w := setup(t)
	a := w.post("/members", fields("email", "grace@example.test", "role", "user"))
	want(t, a, http.StatusOK, "grace@example.test was added", "Invited")
	link := regexp.MustCompile(`http://127\.0\.0\.1(/setup/[^"<]+)`).FindStringSubmatch(a.body)
	if link == nil {
		t.Fatal("no link")
	}
	want(t, w.as("", link[1], nil), http.StatusOK, "Welcome to Atelier Nord", "You are invited as User")
	want(t, w.as("", link[1], fields("password", password)), http.StatusSeeOther)
	list := w.get("/members")
	want(t, list, http.StatusOK, "2 people in Atelier Nord")
	id := regexp.MustCompile(`/members/([0-9a-f-]{36})/role`).FindStringSubmatch(list.body)[1]
	want(t, w.post("/members/"+id+"/role", fields("role", "auditor")), http.StatusSeeOther)
	want(t, w.post("/members/"+id+"/role", fields("role", "emperor")), http.StatusUnprocessableEntity)
	want(t, w.get("/members/"+id+"/remove"), http.StatusOK, "Remove grace@example.test from Atelier Nord?")
	want(t, w.post("/members/"+id+"/remove", fields()), http.StatusSeeOther)
	want(t, w.get("/members"), http.StatusOK, "1 person in Atelier Nord")

	// B28: nobody gives more than he may, and an organisation keeps an owner.
	admin := w.Member(auth.Admin)
	want(t, w.as(admin, "/members", fields("email", "eve@example.test", "role", "owner")), http.StatusForbidden, `role="alert"`, "eve@example.test")
	want(t, w.as(admin, "/members", nil), http.StatusOK, `value="manager"`)
	want(t, w.as(admin, "/members", fields("email", "mia@example.test", "role", "manager")), http.StatusOK, "mia@example.test was added")
	want(t, w.post("/members/"+w.Owner.UserID.String()+"/remove", fields()), http.StatusConflict, `role="alert"`)
	want(t, w.post("/members", fields("email", "nobody", "role", "user")), http.StatusUnprocessableEntity, `value="nobody"`)
}

func TestPrice_isSetInEuros(t *testing.T) {
	t.Parallel()
	w := setup(t)
	m, err := w.Catalog.Model(t.Context(), w.Owner.Organisation, "inventiv/simulated-chat")
	ok(t, err)
	path := "/models/" + m.ID.String() + "/price"
	want(t, w.get(path), http.StatusOK, "the platform’s price list")
	want(t, w.post(path, fields("input", "0,25", "output", "1.5")), http.StatusSeeOther)
	want(t, w.get(path), http.StatusOK, "this organisation", `value="0.25"`, `value="1.50"`)
	want(t, w.get("/models"), http.StatusOK, "0.25 €", "1.50 €")
	for _, bad := range []string{"", "-1", "free", "1e30", "0.0000000001"} {
		want(t, w.post(path, fields("input", bad, "output", "1")), http.StatusUnprocessableEntity, `role="alert"`)
	}
	want(t, w.as(w.Member(auth.Admin), path, nil), http.StatusForbidden)
}

func TestFallback_isNamedAndEnded(t *testing.T) {
	t.Parallel()
	w := setup(t)
	m, err := w.Catalog.Model(t.Context(), w.Owner.Organisation, "inventiv/simulated-chat")
	ok(t, err)
	path := "/models/" + m.ID.String() + "/fallback"
	want(t, w.get(path), http.StatusOK, "Fallback of inventiv/simulated-chat", "Qwen/Qwen2.5-0.5B-Instruct")
	want(t, w.post(path, fields("models", "Qwen/Qwen2.5-0.5B-Instruct, Qwen/Qwen2.5-14B-Instruct")), http.StatusSeeOther)
	want(t, w.get(path), http.StatusOK, `value="Qwen/Qwen2.5-0.5B-Instruct, Qwen/Qwen2.5-14B-Instruct"`)
	want(t, w.get("/models"), http.StatusOK, "then Qwen/Qwen2.5-0.5B-Instruct, Qwen/Qwen2.5-14B-Instruct")
	want(t, w.post(path, fields("models", m.Name)), http.StatusUnprocessableEntity, `role="alert"`, `value="`+m.Name+`"`)
	want(t, w.post(path, fields("models", "no/such")), http.StatusNotFound, `role="alert"`, `value="no/such"`)
	want(t, w.as(w.Member(auth.User), path, fields("models", "x")), http.StatusForbidden)
	want(t, w.post(path, fields("models", "")), http.StatusSeeOther)
	if page := w.get("/models"); strings.Contains(page.body, "then Qwen") {
		t.Error("the fallback is not ended")
	}
}

func TestAliases_areAddedRefusedAndRemoved(t *testing.T) {
	t.Parallel()
	w := setup(t)
	want(t, w.get("/models"), http.StatusOK, "Other names")
	want(t, w.post("/aliases", fields("name", "team/fast", "model", "inventiv/simulated-chat")), http.StatusSeeOther)
	want(t, w.get("/models"), http.StatusOK, "<b>team/fast</b>", "/aliases/team%2Ffast/remove")
	want(t, w.post("/aliases", fields("name", "team/fast", "model", "inventiv/simulated-chat")), http.StatusConflict, `role="alert"`, `value="team/fast"`)
	want(t, w.post("/aliases", fields("name", "two words", "model", "inventiv/simulated-chat")), http.StatusUnprocessableEntity, `role="alert"`, `value="two words"`)
	want(t, w.post("/aliases", fields("name", "other", "model", "no/such")), http.StatusNotFound, `role="alert"`, `value="no/such"`)
	want(t, w.as(w.Member(auth.User), "/aliases", fields("name", "x", "model", "inventiv/simulated-chat")), http.StatusForbidden)
	want(t, w.get("/aliases/team%2Ffast/remove"), http.StatusOK, "Remove the name team/fast?")
	want(t, w.get("/aliases/nope/remove"), http.StatusNotFound)
	want(t, w.post("/aliases/team%2Ffast/remove", fields()), http.StatusSeeOther)
	if page := w.get("/models"); strings.Contains(page.body, "team/fast") {
		t.Error("the alias is still there")
	}
	want(t, w.post("/aliases/team%2Ffast/remove", fields()), http.StatusNotFound)
}

func TestEndpoints_areAddedRefusedAndRemoved(t *testing.T) {
	t.Parallel()
	w := setup(t)
	typed := fields("name", "office", "model", "team/model", "url", "http://127.0.0.1:9/v1", "key", "very-secret-key")
	want(t, w.post("/endpoints", typed), http.StatusSeeOther)
	list := w.get("/endpoints")
	want(t, list, http.StatusOK, "office", "team/model", "stored")
	again := w.post("/endpoints", typed)
	want(t, again, http.StatusConflict, `role="alert"`, `value="office"`)
	if strings.Contains(list.body+again.body, "very-secret-key") {
		t.Error("the endpoint's key is written back")
	}
	private := w.as(w.Member(auth.Admin), "/endpoints", fields("name", "inside", "model", "m", "url", "http://127.0.0.1:9/v1"))
	want(t, private, http.StatusForbidden, `role="alert"`, `value="inside"`)
	want(t, w.get("/endpoints/office/remove"), http.StatusOK, "Remove office?")
	want(t, w.post("/endpoints/office/remove", fields()), http.StatusSeeOther)
	want(t, w.get("/endpoints"), http.StatusOK, "Nothing is connected")
}

func TestEndpoints_sayThatOneIsSetAside(t *testing.T) {
	t.Parallel()
	w := setup(t)
	want(t, w.post("/endpoints", fields("name", "office", "model", "team/model", "url", "http://127.0.0.1:9/v1")), http.StatusSeeOther)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for _, l := range w.Gateway.Loops()[:2] { // of the routes and of the limits
		running.Go(func() { l.Run(ctx) })
		for l.Status().Passes == 0 {
			<-tick.C
		}
	}
	stop()
	running.Wait()
	ask := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/chat/completions",
		strings.NewReader(`{"model":"team/model","messages":[{"role":"user","content":"hello"}]}`))
	ask.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	w.Gateway.ServeAs(answer, ask, gateway.Caller{Organisation: w.Owner.Organisation, UserID: w.Owner.UserID})
	if answer.Code != http.StatusServiceUnavailable {
		t.Fatalf("the endpoint, which nobody serves, answered %d %s", answer.Code, answer.Body)
	}
	// What the last check found does not make it one that serves.
	_, err := w.Pool.Exec(t.Context(), `UPDATE gateway.endpoints SET state = 'reachable', checked_at = now()`)
	ok(t, err)
	want(t, w.get("/endpoints"), http.StatusOK, "Set aside", "set aside by the gateway: it could not be reached")
	want(t, w.get("/"), http.StatusOK, "No model is serving", "team/model is set aside.", "Its only replica is set aside by the gateway: it could not be reached")
	if models := w.get("/models"); !strings.Contains(models.body, "team/model") || strings.Contains(models.body, `state ready">1 replica`) {
		t.Errorf("the models that are ready: %s", models.body)
	}
}

func TestAccount_changesPasswordThemeAndSessions(t *testing.T) {
	t.Parallel()
	w := setup(t)
	other, err := w.Auth.SignIn(t.Context(), "ada@example.test", password, auth.Client{UserAgent: "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"})
	ok(t, err)
	page := w.get("/account")
	want(t, page, http.StatusOK, "Firefox on Linux", "2 sessions", "this one")
	id := regexp.MustCompile(`/account/sessions/([0-9a-f-]{36})/end`).FindStringSubmatch(page.body)[1]
	want(t, w.post("/account/sessions/"+id+"/end", fields()), http.StatusSeeOther)
	want(t, w.as(other, "/account", nil), http.StatusSeeOther) // to the sign-in page

	want(t, w.post("/account/password", fields("current", "wrong", "password", "seven orange lamps in a row")), http.StatusForbidden, `aria-invalid="true"`)
	want(t, w.post("/account/password", fields("current", password, "password", "short")), http.StatusUnprocessableEntity, `role="alert"`)
	want(t, w.post("/account/password", fields("current", password, "password", "seven orange lamps in a row")), http.StatusSeeOther)

	dark := w.post("/account/theme", fields("theme", "dark"))
	if c := dark.header.Get("Set-Cookie"); dark.status != http.StatusSeeOther || !strings.Contains(c, "theme=dark") || !strings.Contains(c, "HttpOnly") {
		t.Errorf("theme: %d %q", dark.status, c)
	}
	want(t, w.as("", "/sign-in", nil, "Cookie: theme=dark"), http.StatusOK, `data-theme="dark"`)
	want(t, w.as("", "/sign-in", nil, `Cookie: theme="><script>`), http.StatusOK, `data-theme=""`)
	want(t, w.post("/sign-out", fields()), http.StatusSeeOther)
	want(t, w.get("/account"), http.StatusSeeOther)
}

func TestOrganisation_isSwitchedForThisSessionOnly(t *testing.T) {
	t.Parallel()
	w := setup(t)
	o, err := w.Auth.CreateOrganisation(t.Context(), w.Owner, w.Owner.UserID, "Elsewhere", false)
	ok(t, err)
	want(t, w.get("/"), http.StatusOK, "Atelier Nord", `value="`+o.ID.String()+`"`)
	want(t, w.post("/organisation", fields("organisation", o.ID.String())), http.StatusSeeOther)
	want(t, w.get("/members"), http.StatusOK, "1 person in Elsewhere")
	want(t, w.post("/organisation", fields("organisation", w.Owner.UserID.String())), http.StatusNotFound)
	want(t, w.post("/organisation", fields("organisation", "x")), http.StatusNotFound)
}

func TestUsageCSV_hasAStableHeader(t *testing.T) {
	t.Parallel()
	w := setup(t)
	a := w.get("/usage.csv?period=7d")
	want(t, a, http.StatusOK)
	rows, err := csv.NewReader(strings.NewReader(a.body)).ReadAll()
	ok(t, err)
	if len(rows) != 1 || rows[0][0] != "request_id" || rows[0][20] != "cost_eur" {
		t.Errorf("rows = %v", rows)
	}
	if cd := a.header.Get("Content-Disposition"); !strings.HasPrefix(cd, `attachment; filename="usage-`) {
		t.Errorf("Content-Disposition %q", cd)
	}
}

// The playground answers as the gateway does, also when nothing serves.
func TestPlayground_postsThroughTheGateway(t *testing.T) {
	t.Parallel()
	w := setup(t)
	a := w.as(w.Session, "/playground/v1/chat/completions", fields(), "Content-Type: application/json")
	if a.status < 400 || !strings.Contains(a.body, `"error"`) || a.header.Get("X-Request-Id") == "" {
		t.Errorf("%d %s", a.status, a.body)
	}
	want(t, w.as(w.Member(auth.Auditor), "/playground/v1/chat/completions", fields()), http.StatusForbidden)
}

func TestLimits_areSetOnAKeyAMemberAndTheOrganisation(t *testing.T) {
	t.Parallel()
	w := setup(t)
	want(t, w.post("/keys", fields("name", "bot", "scope", "inference", "expires", "90")), http.StatusOK)
	key := regexp.MustCompile(`/keys/([0-9a-f-]{36})/limits`).FindString(w.get("/keys").body)
	member := "/members/" + w.Owner.UserID.String() + "/limits"
	want(t, w.get("/members"), http.StatusOK, member, "/organisation/limits")
	for path, title := range map[string]string{key: "Limits of the key bot", member: "Limits of ", "/organisation/limits": "Limits of Atelier Nord"} {
		want(t, w.get(path), http.StatusOK, title)
		typed := fields("requests_per_minute", "60", "tokens_per_minute", " 9000 ", "concurrency", "", "max_tokens", "", "models", "a/b, c/d",
			"budget", "10,5", "period", "day", "networks", "10.0.0.0/8 192.0.2.7")
		want(t, w.post(path, typed), http.StatusSeeOther)
		want(t, w.get(path), http.StatusOK, `value="60"`, `value="9000"`, `value="a/b, c/d"`, `value="10.50"`, "0.0000 € of 10.50 €")
		want(t, w.post(path, fields("concurrency", "many")), http.StatusUnprocessableEntity, `role="alert"`, `value="many"`)
		want(t, w.post(path, fields("budget", "-3")), http.StatusUnprocessableEntity, `role="alert"`, `value="-3"`)
	}
	want(t, w.get(key), http.StatusOK, `value="10.0.0.0/8, 192.0.2.7/32"`)
	want(t, w.post(key, fields("networks", "here")), http.StatusUnprocessableEntity, `value="here"`)
	want(t, w.post(key, fields()), http.StatusSeeOther)
	want(t, w.get("/keys/018f6b1c-2d3e-7f00-8a9b-0c1d2e3f4a5b/limits"), http.StatusNotFound)
	want(t, w.as(w.Member(auth.User), "/organisation/limits", nil), http.StatusForbidden)
}
