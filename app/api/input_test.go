package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/api"
)

func TestB21_unknownFieldsAndBadBodies(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, c := range []struct {
		body, kind, pointer string
		status              int
	}{
		{strings.Replace(deployment, `{`, `{"role":"owner",`, 1), "unknown_field", "/role", 400},
		{`{"name":`, "invalid_json", "", 400},
		{``, "unsupported_media_type", "", 415},
		{`[1]`, "invalid_json", "", 400},
		{deployment + `x`, "invalid_json", "", 400},
		{strings.Replace(deployment, `"chat"`, `7`, 1), "invalid_parameter", "/name", 400},
		{strings.Replace(deployment, `"min":0`, `"min":"0"`, 1), "invalid_parameter", "/replicas/min", 400},
		{strings.Replace(deployment, `"chat"`, `"<script>"`, 1), "invalid", "/name", 422},
		{strings.Replace(deployment, `"chat"`, `"a\nb"`, 1), "invalid", "/name", 422},
		{`{"x":"` + strings.Repeat("x", 3<<20) + `"}`, "request_too_large", "", 413},
	} {
		a := w.do("POST", "/api/v1/deployments", c.body)
		p := a.problem(t)
		pointer := ""
		if len(p.Errors) > 0 {
			pointer = p.Errors[0].Pointer
		}
		if a.status != c.status || p.Code != c.kind || pointer != c.pointer {
			t.Errorf("%.60s: %d %s %s; want %d %s %s", c.body, a.status, p.Code, pointer, c.status, c.kind, c.pointer)
		}
	}
	if a := w.do("GET", "/api/v1/deployments", ""); a.body != "{\"items\":[]}\n" {
		t.Errorf("something was deployed: %s", a.body)
	}
}

func TestB22_idsOfOthersMalformedAndDeleted(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var theirs, gone api.Deployment
	w.as(w.Stranger(), "POST", "/api/v1/deployments", deployment).into(t, &theirs)
	w.do("POST", "/api/v1/deployments", deployment).into(t, &gone)
	w.do("DELETE", "/api/v1/deployments/chat", "")
	bodies := map[string]bool{}
	for _, id := range []uuid.UUID{theirs.ID, gone.ID, uuid.New()} {
		for _, method := range []string{"GET", "DELETE"} {
			a := w.do(method, "/api/v1/deployments/"+id.String(), "")
			p := a.problem(t)
			p.RequestID = ""
			bodies[fmt.Sprintf("%d %+v", a.status, p)] = true
		}
	}
	if len(bodies) != 1 {
		t.Errorf("another's, a deleted and an unknown deployment can be told apart: %v", bodies)
	}
	for _, path := range []string{
		"/instances/42", "/instances/inst-zz", "/instances/018f6b1c-2d3e-7f00-8a9b", "/keys/1", "/members/x", "/deployments/UPPER",
		"/deployments/a%00b", "/endpoints/%C3%A9", "/keys/" + strings.Repeat("a", 600), "/keys/%7B018f6b1c-2d3e-7f00-8a9b-0c1d2e3f4a5b%7D",
	} {
		a := w.do("DELETE", "/api/v1"+path, "")
		if strings.HasPrefix(path, "/instances") {
			a = w.do("GET", "/api/v1"+path, "")
		}
		if p := a.problem(t); a.status != 400 || p.Code != "invalid_parameter" {
			t.Errorf("%s: %d %s, want 400 invalid_parameter", path, a.status, p.Code)
		}
	}
	for _, path := range []string{"/keys/", "/instances/inst-00000000", "/members/"} {
		if strings.HasSuffix(path, "/") {
			path += uuid.NewString()
		}
		if a := w.do(map[bool]string{true: "GET", false: "DELETE"}[strings.HasPrefix(path, "/instances")], "/api/v1"+path, ""); a.status != 404 {
			t.Errorf("%s: %d %s, want 404", path, a.status, a.body)
		}
	}
}

func TestB23_searchTermsAreTakenLiterally(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.do("POST", "/api/v1/deployments", deployment)
	for _, term := range []string{"%25%25%25%25%25", "_", "c.*t", "%27%3B+DROP+TABLE+x--", "%5C"} {
		for _, path := range []string{"/instances?deployment=", "/usage/records?model=", "/offers?model="} {
			start := time.Now()
			a := w.do("GET", "/api/v1"+path+term, "")
			if a.status != 200 && a.status != 404 || strings.Contains(a.body, `"chat"`) || time.Since(start) > 10*time.Second {
				t.Errorf("%s%s: %d %s after %s", path, term, a.status, a.body, time.Since(start))
			}
		}
	}
}

func TestB24_badParameters(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for query, says := range map[string]string{
		"/usage/records?limit=-1":                                "1 to 1000",
		"/usage/records?limit=1e9":                               "1 to 1000",
		"/usage/records?limit=99999999999999999999":              "1 to 1000",
		"/usage/records?limit=":                                  "1 to 1000",
		"/usage/records?sort=%3Bdrop":                            "no such parameter here; known are: cursor, error, from",
		"/usage/records?status=done":                             "completed, interrupted",
		"/usage/records?cursor=tampered":                         "next_cursor",
		"/usage/records?cursor=" + strings.Repeat("A", 32):       "next_cursor",
		"/usage/records?cursor=" + strings.Repeat("_", 31) + "8": "next_cursor",
		"/usage/records?key=me":                                  "not an id",
		"/usage/records?from=yesterday":                          "2026-01-31",
		"/usage/summary?from=2026-02-01&to=2026-01-01":           "before",
		"/usage/summary?from=1970-01-01&to=2026-01-01":           "366 days",
		"/usage/summary?from=2026-01-01&from=2026-01-02":         "more than once",
		"/usage/summary?from=0001-01-01":                         "2026-01-31",
		"/costs/days?from=2026-02-30":                            "2026-01-31",
		"/instances?state=bad":                                   "allowed are provisioning",
		"/instances?archived=1":                                  "true and false",
		"/instances?deployment=" + strings.Repeat("x", 501):      "500",
		"/instances?deployment=%FF":                              "not text",
		"/instances?%zz":                                         "encoded",
		"/deployments?page=-1":                                   "no such parameter",
		"/instances/inst-00000000/logs?source=shadow":            "agent, engine",
		"/instances/inst-00000000/logs?tail=0":                   "1 to 5000",
		"/instances/inst-00000000/metrics?minutes=100000":        "1 to 1440",
	} {
		a := w.do("GET", "/api/v1"+query, "")
		p := a.problem(t)
		if a.status != 400 || p.Code != "invalid_parameter" || !strings.Contains(p.Detail+p.Fix, says) || len(p.Errors) != 1 {
			t.Errorf("%.80s: %d %s %q; want 400 invalid_parameter with %q", query, a.status, p.Code, p.Detail+p.Fix, says)
		}
	}
}

func TestB25_idempotencyKeys(t *testing.T) {
	t.Parallel()
	w := setup(t)
	const key, path = "Idempotency-Key: 5f0c", "/api/v1/deployments"
	first := w.do("POST", path, deployment, key)
	again := w.do("POST", path, deployment, key)
	if first.status != 201 || again.status != 201 || first.body != again.body || again.header.Get("Idempotency-Replayed") != "true" || first.header.Get("Warning") != "" {
		t.Errorf("first %d, again %d (replayed %q, warning %q); want the same answer", first.status, again.status,
			again.header.Get("Idempotency-Replayed"), first.header.Get("Warning"))
	}
	for _, c := range []struct {
		name, path, body, key string
		status                int
		code                  string
	}{
		{"another body", path, strings.Replace(deployment, "chat", "chat2", 1), key, 422, "idempotency_mismatch"},
		{"another path", "/api/v1/keys", `{"name":"x"}`, key, 422, "idempotency_mismatch"},
		{"too long", path, deployment, "Idempotency-Key: " + strings.Repeat("k", 300), 400, "invalid_idempotency_key"},
		{"empty", path, deployment, "Idempotency-Key: ", 400, "invalid_idempotency_key"},
	} {
		if a := w.do("POST", c.path, c.body, c.key); a.status != c.status || a.problem(t).Code != c.code {
			t.Errorf("%s: %d %s, want %d %s", c.name, a.status, a.body, c.status, c.code)
		}
	}
	// A refusal is not kept: the same key may be used once it can be done.
	bad := w.do("POST", path, deployment, "Idempotency-Key: later")
	w.do("DELETE", path+"/chat", "")
	if good := w.do("POST", path, deployment, "Idempotency-Key: later"); bad.status != 409 || good.status != 201 {
		t.Errorf("refused with %d, then %d; want 409 and 201", bad.status, good.status)
	}
}

func TestB25_atOnceIsDoneOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var all sync.WaitGroup
	statuses := make([]int, 8)
	for i := range statuses {
		all.Go(func() {
			statuses[i] = w.do("POST", "/api/v1/keys", `{"name":"k"}`, "Idempotency-Key: same").status
		})
	}
	all.Wait()
	for _, s := range statuses {
		if s != http.StatusCreated && s != http.StatusConflict {
			t.Errorf("statuses %v; want 201 or 409 in_progress", statuses)
		}
	}
	if a := w.do("GET", "/api/v1/keys", ""); strings.Count(a.body, `"prefix"`) != 1 {
		t.Errorf("keys: %s, want one", a.body)
	}
}

// What was done is told even when its answer cannot be kept: the text of a new
// key would be lost.
func TestOnce_B25_whatWasDoneIsTold(t *testing.T) {
	t.Parallel()
	w := setup(t)
	_, err := w.Pool.Exec(t.Context(), `ALTER TABLE auth.idempotency ADD CHECK (status IS NULL)`)
	ok(t, err)
	a := w.do("POST", "/api/v1/keys", `{"name":"k"}`, "Idempotency-Key: once")
	if a.status != http.StatusCreated || !strings.Contains(a.body, `"key":"sk-inv-`) {
		t.Errorf("%d %s", a.status, a.body)
	}
}
