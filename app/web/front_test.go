package web_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/app/web"
)

// B20: forged forwarded headers are ignored, and so is everything that a
// client writes to the left of what trusted proxies wrote.
func TestFront_B06_B20_clientAddress(t *testing.T) {
	t.Parallel()
	h := web.Front(web.FrontConfig{
		Hosts:   []string{"inventiv.example"},
		Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")},
	}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.RemoteAddr, " ", r.Host)
		for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip"} {
			if r.Header.Get(name) != "" {
				fmt.Fprint(w, " still has ", name)
			}
		}
	}))
	for name, c := range map[string]struct {
		peer      string
		forwarded []string
		want      string
	}{
		"direct":                 {"203.0.113.9:4000", nil, "203.0.113.9:4000"},
		"direct and forged":      {"203.0.113.9:4000", []string{"127.0.0.1"}, "203.0.113.9:4000"},
		"one proxy":              {"10.0.0.1:4000", []string{"203.0.113.9"}, "203.0.113.9:0"},
		"forged behind a proxy":  {"10.0.0.1:4000", []string{"127.0.0.1, 203.0.113.9"}, "203.0.113.9:0"},
		"two proxies":            {"10.0.0.1:4000", []string{"203.0.113.9, 10.0.0.2"}, "203.0.113.9:0"},
		"two headers":            {"10.0.0.1:4000", []string{"127.0.0.1", "203.0.113.9, 10.0.0.2"}, "203.0.113.9:0"},
		"with a port":            {"10.0.0.1:4000", []string{"203.0.113.9:55"}, "203.0.113.9:0"},
		"IPv6":                   {"[fd00::1]:4000", []string{"2001:db8::7"}, "[2001:db8::7]:0"},
		"mapped peer":            {"[::ffff:10.0.0.1]:4000", []string{"203.0.113.9"}, "203.0.113.9:0"},
		"nonsense":               {"10.0.0.1:4000", []string{"unknown"}, "10.0.0.1:4000"},
		"nonsense after a proxy": {"10.0.0.1:4000", []string{"unknown, 10.0.0.2"}, "10.0.0.2:0"},
		"nothing":                {"10.0.0.1:4000", nil, "10.0.0.1:4000"},
		"only proxies":           {"10.0.0.1:4000", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3:0"},
	} {
		req := httptest.NewRequest(http.MethodGet, "http://inventiv.example/", nil)
		req.RemoteAddr = c.peer
		req.Header["X-Forwarded-For"] = c.forwarded
		for _, name := range []string{"Forwarded", "X-Forwarded-Proto", "X-Real-Ip"} {
			req.Header.Set(name, "127.0.0.1")
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		if got := rec.Body.String(); got != c.want+" inventiv.example" {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestLimitFields_B09_manyFields(t *testing.T) {
	t.Parallel()
	h := web.LimitFields(web.Refuse, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
	}))
	for _, kinds := range []int{1000, 1} { // of names
		for fields, want := range map[int]int{100: http.StatusTeapot, 101: http.StatusRequestHeaderFieldsTooLarge, 500: http.StatusRequestHeaderFieldsTooLarge} {
			req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/", nil)
			for i := range fields {
				req.Header.Add(fmt.Sprintf("X-%d", i%kinds), "x")
			}
			res := httptest.NewRecorder()
			if h.ServeHTTP(res, req); res.Code != want {
				t.Errorf("%d fields: %d, want %d", fields, res.Code, want)
			}
		}
	}
}

// B20: a host that is not ours gets nothing but 421.

func TestFront_B20_hosts(t *testing.T) {
	t.Parallel()
	h := web.Front(web.FrontConfig{
		Hosts:   []string{"Inventiv.example", "localhost", "127.0.0.1", "::1"},
		Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
	}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	for name, c := range map[string]struct {
		host, path, peer, forwardedHost string
		want                            int
	}{
		"ours":                    {"inventiv.example", "/", "", "", 418},
		"with a port":             {"inventiv.example:8443", "/", "", "", 418},
		"in capitals":             {"INVENTIV.EXAMPLE.", "/", "", "", 418},
		"loopback":                {"127.0.0.1:8080", "/", "", "", 418},
		"loopback IPv6":           {"[::1]:8080", "/", "", "", 418},
		"another":                 {"evil.example", "/", "", "", 421},
		"a part of ours":          {"inventiv.example.evil.example", "/", "", "", 421},
		"empty":                   {"", "/", "", "", 421},
		"another on v1":           {"evil.example", "/v1/models", "", "", 421},
		"health":                  {"10.9.9.9:8080", "/healthz", "", "", 418},
		"something like health":   {"evil.example", "/healthz/", "", "", 421},
		"told by a proxy":         {"backend:8080", "/", "10.0.0.1:9", "inventiv.example", 418},
		"told by nobody":          {"backend:8080", "/", "203.0.113.9:9", "inventiv.example", 421},
		"told wrongly by a proxy": {"inventiv.example", "/", "10.0.0.1:9", "evil.example", 421},
	} {
		req := httptest.NewRequest(http.MethodGet, c.path, nil)
		req.Host = c.host
		if c.peer != "" {
			req.RemoteAddr = c.peer
			req.Header.Set("X-Forwarded-Host", c.forwardedHost)
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		if rec.Code != c.want {
			t.Errorf("%s: %d, want %d", name, rec.Code, c.want)
		}
		if c.want == 421 && !strings.Contains(rec.Body.String(), "INVENTIV_ALLOWED_HOSTS") {
			t.Errorf("%s: the answer does not say what to do: %s", name, rec.Body)
		}
	}
}
