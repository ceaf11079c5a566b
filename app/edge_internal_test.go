package app

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/app/config"
	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
)

// edge is a whole control plane, reached over TCP only.
type edge struct {
	*App

	t              *testing.T
	people, agents string // addresses
	log            *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

const edgePassword = "violet tractor under nine bridges"

func serveEdge(t *testing.T, proxies ...netip.Prefix) *edge {
	t.Helper()
	return serveEdgeOn(t, dbtest.URL(t), proxies...)
}

func serveEdgeOn(t *testing.T, database string, proxies ...netip.Prefix) *edge {
	t.Helper()
	dir := t.TempDir()
	e := &edge{t: t, log: &lockedBuffer{}}
	a, err := New(t.Context(), config.Serve{
		Store: config.Store{
			Data: config.Data{DataDir: dir}, DatabaseURL: config.DatabaseURL(database), DatabasePool: 8, MasterKeyFile: dir + "/master.key",
		},
		Listen: "127.0.0.1:0", AgentListen: "127.0.0.1:0", MetricsListen: "127.0.0.1:0", MaxBody: 1 << 20, ShutdownTimeout: 5 * time.Second,
		TrustedProxies: proxies, AdminEmail: "ada@example.test", AdminPassword: edgePassword,
	}, "test", slog.New(slog.NewJSONHandler(e.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	e.App, e.people, e.agents = a, a.listen.people.Addr().String(), a.listen.agents.Addr().String()
	if err := a.firstAdmin(t.Context(), &process{stdout: io.Discard}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return e
}

// send writes a request as it is and returns the answer.
func (e *edge) send(conn net.Conn, request string) (status int, header http.Header, body string) {
	e.t.Helper()
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		e.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		e.t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		e.t.Fatalf("%.60q: %v", request, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(text)
}

func (e *edge) toPeople(request string) (int, http.Header, string) {
	e.t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(e.t.Context(), "tcp", e.people)
	if err != nil {
		e.t.Fatal(err)
	}
	return e.send(conn, request)
}

func (e *edge) toAgents(request string) (int, http.Header, string) {
	e.t.Helper()
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}}
	conn, err := d.DialContext(e.t.Context(), "tcp", e.agents)
	if err != nil {
		e.t.Fatal(err)
	}
	return e.send(conn, request)
}

// B06: from a peer that is no trusted proxy X-Forwarded-For changes neither what
// is logged nor whose attempts are counted; from one that is, it does both.
func TestEdge_B06_forwardedForIsBelievedOfTrustedProxiesOnly(t *testing.T) {
	t.Parallel()
	forged := func(i int) string {
		return fmt.Sprintf("X-Forwarded-For: 198.51.100.%d\r\nX-Real-IP: 198.51.100.%d\r\nForwarded: for=198.51.100.%d\r\n", i, i, i)
	}
	for name, c := range map[string]struct {
		proxies []netip.Prefix
		last    int // status after as many attempts as one address has
		logged  string
		not     string
	}{
		"a stranger": {nil, http.StatusTooManyRequests, `"ip":"127.0.0.1"`, "198.51.100."},
		"a proxy":    {[]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, http.StatusUnprocessableEntity, `"ip":"198.51.100.20"`, `"ip":"127.0.0.1"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := serveEdge(t, c.proxies...)
			var status int
			var head http.Header
			for i := range 21 {
				// Each attempt on an account of its own, so that only the address counts.
				form := url.Values{"email": {fmt.Sprintf("nobody-%d@example.test", i)}, "password": {"guess"}}.Encode()
				status, head, _ = e.toPeople(fmt.Sprintf("POST /sign-in HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\n%sContent-Length: %d\r\n\r\n%s",
					e.people, forged(i), len(form), form))
			}
			if status != c.last || (head.Get("Retry-After") != "") != (c.last == http.StatusTooManyRequests) {
				t.Errorf("attempt 21: %d, want %d: %v", status, c.last, head)
			}
			if log := e.log.String(); !strings.Contains(log, c.logged) || strings.Contains(log, c.not) {
				t.Errorf("the log lacks %s or holds %s:\n%s", c.logged, c.not, log)
			}
			var ips []string
			rows, err := e.store.pool.Query(t.Context(), `SELECT DISTINCT ip FROM auth.audit WHERE action = 'session.refuse'`)
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			for rows.Next() {
				var ip string
				if err := rows.Scan(&ip); err != nil {
					t.Fatal(err)
				}
				ips = append(ips, ip)
			}
			if believed := len(ips) > 1; believed != (c.proxies != nil) {
				t.Errorf("the audit names %v", ips)
			}
		})
	}
}

// B09 on both listeners, for heads that are long and for those of many fields,
// be they of one name.
func TestEdge_B09_greatHeads(t *testing.T) {
	t.Parallel()
	e := serveEdge(t)
	var different strings.Builder
	for i := range 500 {
		fmt.Fprintf(&different, "X-%d: a\r\n", i)
	}
	for name, fields := range map[string]string{
		"17 KiB": "X-Great: " + strings.Repeat("x", 17<<10) + "\r\n", "500 fields": different.String(), "500 of one name": strings.Repeat("X-A: a\r\n", 500),
	} {
		for _, path := range []string{"/v1/models", "/healthz", "/api/v1/version"} {
			request := "GET " + path + " HTTP/1.1\r\nHost: " + e.people + "\r\n" + fields + "\r\n"
			if status, _, body := e.toPeople(request); status != http.StatusRequestHeaderFieldsTooLarge {
				t.Errorf("%s at %s: %d %s", name, path, status, body)
			}
		}
		request := "POST /internal/worker/heartbeat HTTP/1.1\r\nHost: inventiv\r\nContent-Length: 2\r\n" + fields + "\r\n{}"
		if status, _, body := e.toAgents(request); status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%s from an agent: %d %s", name, status, body)
		}
	}
	fair := "X-Fair: " + strings.Repeat("x", 7<<10) + "\r\n" + strings.Repeat("X-A: a\r\n", 80) + "\r\n"
	if status, _, body := e.toPeople("GET /healthz HTTP/1.1\r\nHost: " + e.people + "\r\n" + fair); status != http.StatusOK {
		t.Errorf("a fair head: %d %s", status, body)
	}
	if status, _, body := e.toAgents("POST /internal/worker/heartbeat HTTP/1.1\r\nHost: inventiv\r\nContent-Length: 2\r\n" + fair + "{}"); status != http.StatusUnauthorized {
		t.Errorf("a fair head from an agent: %d %s", status, body)
	}
}

// B18, B20: what is refused before anybody looks at it, in the shape of whose
// path it is.
func TestEdge_B18_B20_refusedAtTheDoor(t *testing.T) {
	t.Parallel()
	e := serveEdge(t)
	for name, c := range map[string]struct {
		request string
		status  int
		says    string
	}{
		"another host on /v1":     {"GET /v1/models HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421, `{"error":{"message":"This server does not answer`},
		"another host on the API": {"GET /api/v1/version HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421, `"code":"misdirected_request"`},
		"another host on a page":  {"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421, "INVENTIV_ALLOWED_HOSTS"},
		"another host, absolute":  {"GET http://evil.example/api/v1/version HTTP/1.1\r\nHost: " + e.people + "\r\n\r\n", 421, "misdirected_request"},
		"two hosts":               {"GET / HTTP/1.1\r\nHost: " + e.people + "\r\nHost: evil.example\r\n\r\n", 400, ""},
		"a host told by a stranger": {
			"GET / HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: " + e.people + "\r\n\r\n", 421, "INVENTIV_ALLOWED_HOSTS",
		},
		"CONNECT":     {"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n", 421, ""},
		"TRACE":       {"TRACE / HTTP/1.1\r\nHost: " + e.people + "\r\n\r\n", 405, ""},
		"all methods": {"OPTIONS * HTTP/1.1\r\nHost: " + e.people + "\r\n\r\n", 200, ""}, // net/http's own answer, without a body
		"a great head on /v1": {
			"GET /v1/models HTTP/1.1\r\nHost: " + e.people + "\r\nX-Great: " + strings.Repeat("x", 17<<10) + "\r\n\r\n", 431, `{"error":{"message":"The head of the request is longer than 16 KiB.`,
		},
		"an expectation on /v1": {
			"POST /v1/chat/completions HTTP/1.1\r\nHost: " + e.people + "\r\nExpect: tea\r\nContent-Length: 2\r\n\r\n{}", 417, `{"error":{"message":"The header Expect may only be`,
		},
		"out of /v1":     {"GET /v1/../api/v1/version HTTP/1.1\r\nHost: " + e.people + "\r\n\r\n", 404, `"code":"unknown_path"`},
		"out of the API": {"GET /api/v1/../../healthz HTTP/1.1\r\nHost: " + e.people + "\r\n\r\n", 404, `"code":"not_found"`},
		"a doubled root": {"GET //v1/models HTTP/1.1\r\nHost: " + e.people + "\r\n\r\n", 404, ""},
	} {
		status, header, body := e.toPeople(c.request)
		if status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s: %d %s; want %d with %s", name, status, body, c.status, c.says)
		}
		if strings.HasPrefix(c.says, `{"error"`) && (header.Get("X-Request-Id") == "" || header.Get("X-Should-Retry") != "false") {
			t.Errorf("%s: header %v", name, header)
		}
	}
}

// nobodysKey is a well-formed key that was never made.
func nobodysKey() string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	body := "sk-inv-" + strings.Repeat("a", 10) + "-" + strings.Repeat("b", 43)
	var sum string
	for rest := crc32.ChecksumIEEE([]byte(body)); len(sum) < 6; rest /= 62 {
		sum = digits[rest%62:][:1] + sum
	}
	return body + sum
}

// B01 to B05 at /v1, with the table of keys that serves there.
func TestEdge_B01_B05_keys(t *testing.T) {
	t.Parallel()
	e := serveEdge(t)
	ctx := t.Context()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	session, err := e.auth.SignIn(ctx, "ada@example.test", edgePassword, auth.Client{})
	ok(err)
	owner, err := e.auth.Authenticate(ctx, session)
	ok(err)
	_, link, err := e.auth.AddMember(ctx, owner, "user@example.test", auth.User)
	ok(err)
	session, err = e.auth.Redeem(ctx, link, edgePassword, "", auth.Client{})
	ok(err)
	user, err := e.auth.Authenticate(ctx, session)
	ok(err)
	key := func(by auth.Actor, scope auth.Scopes) (auth.Key, string) {
		k, text, err := e.auth.CreateKey(ctx, by, "test", scope, time.Time{}, nil)
		ok(err)
		return k, text
	}
	_, good := key(owner, auth.ScopeInference)
	_, admin := key(owner, auth.ScopeAdmin)
	revoked, revokedText := key(owner, auth.ScopeInference)
	expired, expiredText := key(owner, auth.ScopeInference)
	_, suspended := key(user, auth.ScopeInference)
	// Before any of them is used, so that the table reads the end state.
	_, err = e.store.pool.Exec(ctx, `UPDATE auth.api_keys SET expires_at = '2026-01-02 03:04:05Z' WHERE id = $1`, expired.ID)
	ok(err)
	ok(e.auth.RemoveMember(ctx, owner, user.UserID))
	ok(e.auth.RevokeKey(ctx, owner, revoked.ID))
	_, err = e.store.pool.Exec(ctx, `
		WITH v AS (UPDATE auth.api_key_changes SET version = version + 1 RETURNING version)
		UPDATE auth.api_keys SET change = v.version FROM v`)
	ok(err)
	bearer := func(text string) string { return "Authorization: Bearer " + text + "\r\n" }
	tests := map[string]struct {
		fields string
		status int
		code   string
	}{
		"a good key":      {bearer(good), 200, ""},
		"B01 none":        {"", 401, "missing_api_key"},
		"B02 quote":       {bearer("' OR 1=1 --"), 401, "malformed_api_key"},
		"B02 emoji":       {bearer("sk-inv-🔑"), 401, "malformed_api_key"},
		"B02 8 kB":        {bearer("sk-inv-" + strings.Repeat("x", 8000)), 401, "malformed_api_key"},
		"B02 NUL":         {bearer(good[:20] + "\x00" + good[21:]), 400, ""}, // no header field may hold it
		"B02 cut":         {bearer(good[:60]), 401, "malformed_api_key"},
		"B03 unknown":     {bearer(nobodysKey()), 401, "invalid_api_key"},
		"B04 two":         {bearer(good) + "X-API-Key: " + admin + "\r\n", 400, "ambiguous_credentials"},
		"one in both":     {bearer(good) + "X-API-Key: " + good + "\r\n", 200, ""},
		"B04 one twice":   {bearer(good) + bearer(good), 400, "ambiguous_credentials"},
		"B05 expired":     {bearer(expiredText), 401, "key_expired"},
		"B05 revoked":     {bearer(revokedText), 401, "key_revoked"},
		"B05 suspended":   {bearer(suspended), 403, "key_disabled"},
		"the scope admin": {bearer(admin), 403, "scope_missing"},
	}
	for name, c := range tests {
		request := "GET /v1/models HTTP/1.1\r\nHost: " + e.people + "\r\n" + c.fields + "\r\n"
		status, _, body := e.toPeople(request)
		for until := time.Now().Add(3 * time.Second); status != c.status && time.Now().Before(until); { // within three seconds a change is known
			status, _, body = e.toPeople(request)
		}
		if status != c.status || c.code != "" && !strings.Contains(body, `"code":"`+c.code+`"`) {
			t.Errorf("%s: %d %s; want %d %s", name, status, body, c.status, c.code)
		}
		if c.code == "key_expired" && !strings.Contains(body, "02 Jan 2026") {
			t.Errorf("%s does not say when: %s", name, body)
		}
		if c.status != 200 && c.status != 400 && !json.Valid([]byte(body)) {
			t.Errorf("%s: %s", name, body)
		}
	}
	if log := e.log.String(); strings.Contains(log, good) || strings.Contains(log, revokedText) {
		t.Error("the log holds a key")
	}
}
