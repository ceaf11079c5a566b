package gateway

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
)

func TestAddEndpoint_servesWithAKeyOfItsOwn(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	b := newBed(t, pool)
	var authorization string
	up := engine(t, func(w http.ResponseWriter, r *http.Request) {
		authorization = r.Header.Get("Authorization")
		_, _ = w.Write([]byte(wholeAnswer))
	})
	operator := auth.System(b.organisation)
	e, err := b.AddEndpoint(t.Context(), operator, NewEndpoint{Name: "mine", Model: "their/model", BaseURL: up + "/v1/", Key: "sk-upstream"})
	if err != nil || e.BaseURL != up+"/v1" || !e.Keyed {
		t.Fatalf("AddEndpoint = %+v, %v", e, err)
	}
	var sealed []byte
	if err := pool.QueryRow(t.Context(), `SELECT key_sealed FROM gateway.endpoints`).Scan(&sealed); err != nil || strings.Contains(string(sealed), "sk-upstream") {
		t.Errorf("the key is stored as it is, or %v", err)
	}
	for _, pass := range []func() (int, error){
		func() (int, error) { return b.checkEndpoints(t.Context()) }, func() (int, error) { return b.reload(t.Context()) },
	} {
		if _, err := pass(); err != nil {
			t.Fatal(err)
		}
	}
	if list, err := b.Endpoints(t.Context(), operator); err != nil || len(list) != 1 || list[0].State != "reachable" || list[0].CheckedAt.IsZero() {
		t.Errorf("Endpoints = %+v, %v", list, err)
	}
	res := b.ask(t, "/v1/chat/completions", strings.Replace(chatBody(""), model, "their/model", 1))
	if got := text(t, res); got != wholeAnswer || authorization != "Bearer sk-upstream" {
		t.Errorf("got %s, sent %q", got, authorization)
	}
	if r := b.stored(t); len(r) != 1 || !r[0].Endpoint || r[0].UpstreamID != e.ID || r[0].Cost != 0 {
		t.Errorf("records = %+v", r)
	}
	if _, err := b.AddEndpoint(t.Context(), operator, NewEndpoint{Name: "mine", Model: "m", BaseURL: up}); !fault.Is(err, fault.Conflict) {
		t.Errorf("the same name: %v", err)
	}
	stranger := auth.System(uuid.New())
	if err := b.RemoveEndpoint(t.Context(), stranger, "mine"); !fault.Is(err, fault.NotFound) {
		t.Errorf("another organisation's: %v", err)
	}
	if err := b.RemoveEndpoint(t.Context(), operator, "mine"); err != nil {
		t.Error(err)
	}
}

func TestB30_addressesOfEndpoints(t *testing.T) {
	t.Parallel()
	b := newBed(t, dbtest.New(t))
	tenant := auth.Actor{UserID: uuid.New(), Organisation: b.organisation, Role: auth.Admin}
	operator := auth.System(b.organisation)
	for _, u := range []string{
		"http://127.0.0.1:1/v1", "http://10.0.0.1/v1", "http://[::1]/v1", "http://[::ffff:192.168.1.1]/v1", "http://localhost/v1", "http://100.64.0.1/v1",
	} {
		if _, err := b.AddEndpoint(t.Context(), tenant, NewEndpoint{Name: "e", Model: "m", BaseURL: u}); !fault.Is(err, fault.Denied) {
			t.Errorf("tenant, %s: %v", u, err)
		}
	}
	for _, u := range []string{"http://169.254.42.42/", "http://[fe80::1]/v1", "http://0.0.0.0/v1", "http://[::ffff:169.254.169.254]/v1", "http://[fd00:42::42]/v1"} {
		if _, err := b.AddEndpoint(t.Context(), operator, NewEndpoint{Name: "e", Model: "m", BaseURL: u}); !fault.Is(err, fault.Denied) {
			t.Errorf("operator, %s: %v", u, err)
		}
	}
	for _, u := range []string{"", "ftp://x/v1", "file:///etc/passwd", "http://user:pass@127.0.0.1/v1", "http://127.0.0.1/v1?x=1", "http://127.0.0.1/v1#x", "127.0.0.1:80", "http://no.such.host.invalid/v1"} {
		if _, err := b.AddEndpoint(t.Context(), operator, NewEndpoint{Name: "e", Model: "m", BaseURL: u}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", u, err)
		}
	}
}

// TestB30_rebinding puts an endpoint there whose name pointed elsewhere when a
// tenant added it: what is dialled is judged, not what was added.
func TestB30_rebinding(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	b := newBed(t, pool)
	up := engine(t, func(http.ResponseWriter, *http.Request) { t.Error("the tenant's endpoint reached a loopback address") })
	mustExec(t, pool, `INSERT INTO gateway.endpoints (id, organisation_id, name, model, base_url, private, created_by)
		VALUES ($1, $2, 'rebound', 'm', $3, false, 'test')`, uuid.New(), b.organisation, up+"/v1")
	if _, err := b.reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	res := b.ask(t, "/v1/chat/completions", strings.Replace(chatBody(""), model, "m", 1))
	if got := code(t, res); res.StatusCode != http.StatusBadGateway || got != codeBadUpstream {
		t.Errorf("got %d %s", res.StatusCode, got)
	}
	if _, err := b.checkEndpoints(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, err := b.Endpoints(t.Context(), auth.System(b.organisation))
	if err != nil || len(list) != 1 || list[0].State != "unreachable" || !strings.Contains(list[0].Message, "private") {
		t.Errorf("Endpoints = %+v, %v", list, err)
	}
}
