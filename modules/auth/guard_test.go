package auth_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/web"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
)

// site serves one route under each policy: /<permission>, /signed-in,
// /public and, below /api/, the same for sessions and keys.
func site(t *testing.T, b *bundle, publicURL string) http.Handler {
	t.Helper()
	router, err := web.New(web.Config{Log: slog.New(slog.DiscardHandler), PublicURL: publicURL})
	ok(t, err)
	g := auth.NewGuard(b.Service, publicURL)
	answer := func(c *echo.Context) error {
		a, _ := auth.From(c.Request().Context())
		return c.JSON(http.StatusOK, map[string]string{"actor": a.Ref(), "ip": a.IP, "request_id": a.RequestID})
	}
	router.GET("/public", g.Public(), answer)
	router.GET("/signed-in", g.SignedIn(), answer)
	for _, p := range append(auth.Permissions(), auth.PlatformOperate) {
		router.GET("/"+string(p), g.Session(p), answer)
		router.GET("/api/"+string(p), g.SessionOrKey(p, auth.ScopeAdmin), answer)
	}
	h, err := router.Handler()
	ok(t, err)
	return h
}

// get asks with headers as "Name: value" and returns the status and the code of
// the problem, or the actor.
func get(t *testing.T, h http.Handler, path string, headers ...string) (status int, what string, body map[string]string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	r.RemoteAddr = "192.0.2.7:1234"
	r.Header.Set("Accept", "application/json")
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Accept" {
			r.Header.Del(name)
		}
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	text, err := io.ReadAll(w.Body)
	ok(t, err)
	var fields map[string]any
	ok(t, json.Unmarshal(text, &fields))
	body = map[string]string{}
	for k, v := range fields {
		body[k], _ = v.(string)
	}
	if w.Code >= 400 {
		return w.Code, body["code"], body
	}
	return w.Code, body["actor"], body
}

// Five roles and nobody × every permission, over HTTP, by session and by key.
func TestGuard_everyRoleAndPermission(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := site(t, b, "http://127.0.0.1:8080")
	for _, role := range auth.Roles() {
		token := b.joinAs(b.owner, string(role)+"@example.test", role)
		member := b.actor(token)
		cookie, headers := "Cookie: inventiv_sid="+token, []string(nil)
		if role.Can(auth.KeysOwn) {
			_, text := b.key(member, auth.ScopeAdmin)
			headers = []string{"Authorization: Bearer " + text, "X-API-Key: " + text}
		}
		for _, p := range append(auth.Permissions(), auth.PlatformOperate) {
			want, code := http.StatusForbidden, "permission_denied"
			if role.Can(p) {
				want, code = http.StatusOK, "user:"+member.UserID.String()
			}
			for _, path := range []string{"/", "/api/"} {
				if status, got, _ := get(t, h, path+string(p), cookie); status != want || got != code {
					t.Errorf("%s at %s%s by session: %d %s, want %d %s", role, path, p, status, got, want, code)
				}
			}
			for _, header := range headers {
				want := want
				if p == auth.InferenceUse {
					want = http.StatusForbidden // not with the scope admin alone
				}
				if status, got, _ := get(t, h, "/api/"+string(p), header); status != want || want == http.StatusOK && !strings.HasPrefix(got, "key:") {
					t.Errorf("%s at /api/%s by key: %d %s, want %d", role, p, status, got, want)
				}
			}
			if status, code, _ := get(t, h, "/api/"+string(p)); status != http.StatusUnauthorized || code != "missing_api_key" {
				t.Errorf("nobody at /api/%s: %d %s", p, status, code)
			}
			if status, code, _ := get(t, h, "/"+string(p)); status != http.StatusUnauthorized || code != "session_ended" {
				t.Errorf("nobody at /%s: %d %s", p, status, code)
			}
		}
	}
}

func TestGuard_operatorsKeyOperatesThePlatform(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := site(t, b, "")
	_, admin := b.key(b.owner, auth.ScopeAdmin)
	_, inference := b.key(b.owner, auth.ScopeInference)
	for text, want := range map[string]int{admin: http.StatusOK, inference: http.StatusForbidden} {
		if status, code, _ := get(t, h, "/api/platform.operate", "Authorization: Bearer "+text); status != want {
			t.Errorf("%d %s, want %d", status, code, want)
		}
	}
}

func TestGuard_B01_B04_credentials(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := site(t, b, "")
	_, text := b.key(b.owner, auth.ScopeInference|auth.ScopeAdmin)
	bearer, plain, cookie := "Authorization: Bearer "+text, "X-API-Key: "+text, "Cookie: inventiv_sid="+b.token
	for name, c := range map[string]struct {
		path    string
		headers []string
		status  int
		code    string
	}{
		"B01 nothing":                {"/api/models.view", nil, 401, "missing_api_key"},
		"B01 another scheme":         {"/api/models.view", []string{"Authorization: Basic YTpi"}, 401, "missing_api_key"},
		"a key is no session":        {"/signed-in", []string{bearer}, 401, "session_ended"},
		"B02 no key":                 {"/api/models.view", []string{"Authorization: Bearer "}, 401, "malformed_api_key"},
		"B02 empty":                  {"/api/models.view", []string{"X-API-Key: "}, 401, "malformed_api_key"},
		"B03 unknown":                {"/api/models.view", []string{"X-API-Key: " + auth.NewAPIKey()}, 401, "invalid_api_key"},
		"B04 two headers":            {"/api/models.view", []string{bearer, plain}, 400, "ambiguous_credentials"},
		"B04 two bearers":            {"/api/models.view", []string{bearer, bearer}, 400, "ambiguous_credentials"},
		"B04 two keys":               {"/api/models.view", []string{plain, plain}, 400, "ambiguous_credentials"},
		"B04 a session and a key":    {"/api/models.view", []string{cookie, bearer}, 400, "ambiguous_credentials"},
		"B37 two sessions":           {"/signed-in", []string{cookie, "Cookie: inventiv_sid=x"}, 401, "session_ended"},
		"B37 a session of 8 kB":      {"/signed-in", []string{"Cookie: inventiv_sid=" + strings.Repeat("x", 8192)}, 401, "session_ended"},
		"anybody, public":            {"/public", nil, 200, "system"},
		"a bad cookie on public":     {"/public", []string{"Cookie: inventiv_sid=x"}, 200, "system"},
		"a session":                  {"/signed-in", []string{cookie}, 200, b.owner.Ref()},
		"lower-case bearer":          {"/api/models.view", []string{"Authorization: bearer " + text}, 200, "key"},
		"the __Host- cookie on http": {"/signed-in", []string{"Cookie: __Host-inventiv_sid=" + b.token}, 401, "session_ended"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, code, _ := get(t, h, c.path, c.headers...)
			if status != c.status || !strings.HasPrefix(code, c.code) {
				t.Errorf("%d %s, want %d %s", status, code, c.status, c.code)
			}
		})
	}
}

// Defect 15: the original believed the first X-Forwarded-For, which anybody can
// send. What the guard notes is what the front door saw.
func TestGuard_B20_believesNoForwardedHeader(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := site(t, b, "")
	_, _, body := get(t, h, "/signed-in", "Cookie: inventiv_sid="+b.token, "X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1",
		"Forwarded: for=127.0.0.1", "X-Request-Id: forged")
	if body["ip"] != "192.0.2.7" || !strings.HasPrefix(body["request_id"], "req_") {
		t.Errorf("noted %v", body)
	}
	if status, _, _ := get(t, h, "/signed-in", "X-Forwarded-For: 127.0.0.1", "X-Real-IP: ::1"); status != http.StatusUnauthorized {
		t.Errorf("an address let somebody in: %d", status)
	}
}

func TestGuard_streamsDoNotKeepASessionAwake(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := site(t, b, "")
	recent := `SELECT count(*) FROM auth.sessions WHERE last_seen_at > now() - interval '1 minute'`
	b.exec(`UPDATE auth.sessions SET last_seen_at = now() - interval '30 minutes'`)
	for _, header := range []string{"Accept: text/event-stream", auth.PassiveHeader + ": 1"} {
		if status, code, _ := get(t, h, "/signed-in", "Cookie: inventiv_sid="+b.token, header); status != http.StatusOK || b.count(recent) != 0 {
			t.Errorf("%s: %d %s, %d sessions touched", header, status, code, b.count(recent))
		}
	}
	if get(t, h, "/signed-in", "Cookie: inventiv_sid="+b.token); b.count(recent) != 1 {
		t.Error("a page load did not touch the session")
	}
}

func TestCookies(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for url, want := range map[string]string{
		"https://inventiv.example": "__Host-inventiv_sid=tok; Path=/; Max-Age=43200; HttpOnly; Secure; SameSite=Lax",
		"http://127.0.0.1:8080":    "inventiv_sid=tok; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax",
	} {
		cookies := auth.NewGuard(b.Service, url).Cookies
		if got := cookies.Set("tok").String(); got != want {
			t.Errorf("Set at %s = %s, want %s", url, got, want)
		}
		if got := cookies.Clear(); got.MaxAge >= 0 || got.Value != "" || got.Name != cookies.Set("").Name {
			t.Errorf("Clear at %s = %v", url, got)
		}
	}
}

func TestPolicies_sayTheirNames(t *testing.T) {
	t.Parallel()
	ring, _ := newRing(t)
	g := auth.NewGuard(newService(nil, ring), "")
	for want, p := range map[string]web.Policy{
		"public": g.Public(), "session": g.SignedIn(), "session keys.own": g.Session(auth.KeysOwn),
		"session or key admin: models.view": g.SessionOrKey(auth.ModelsView, auth.ScopeAdmin),
	} {
		if p.Name() != want {
			t.Errorf("Name = %q, want %q", p.Name(), want)
		}
	}
}

func TestCredential_allocatesNothing(t *testing.T) { //nolint:paralleltest // counts the allocations of the whole process
	h := http.Header{"Authorization": {"Bearer sk-inv-x"}}
	if n := testing.AllocsPerRun(100, func() { _, _ = auth.Credential(h) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
