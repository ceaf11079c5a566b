package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
)

func (b *bed) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	u, err := url.Parse(b.url)
	if err != nil {
		t.Fatal(err)
	}
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(4 * time.Second))
	tcp, _ := c.(*net.TCPConn)
	return tcp
}

// A client that closes its side alone is taken for one that has left; it must not
// read an empty answer with a good status.
func TestServe_aClientThatClosesItsSideIsToldSo(t *testing.T) {
	t.Parallel()
	b := newBed(t, dbtest.New(t), engine(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	for _, stream := range []string{"", `"stream":true,`} {
		c := b.dial(t)
		body := chatBody(stream)
		fmt.Fprintf(c, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", goodKey, len(body), body)
		_ = c.CloseWrite()
		got, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer got.Body.Close()
		res := reply{got}
		if res.StatusCode != statusClientGone || code(t, res) != codeClientGone || res.Header.Get("X-Request-Id") == "" {
			t.Errorf("stream %q: %d %v", stream, res.StatusCode, res.Header)
		}
	}
	for _, r := range b.stored(t) {
		if r.Status != "interrupted" || r.Error != codeClientGone || r.HTTPStatus != 0 {
			t.Errorf("recorded %+v", r)
		}
	}
}

// Who is refused before the body was looked at does not hold the connection with
// a body that never comes, whatever way it is announced.
func TestServe_whoIsTurnedAwayDoesNotKeepTheConnection(t *testing.T) {
	t.Parallel()
	b := newBed(t, dbtest.New(t), answering(t, 200, "application/json", wholeAnswer))
	b.limits.bodyTime = time.Second
	for name, c := range map[string]struct {
		key, fields string
		status      int
	}{
		"chunks":                {"sk-inv-unknown", "Content-Type: application/json\r\nTransfer-Encoding: chunked", 401},
		"a length":              {"sk-inv-unknown", "Content-Type: application/json\r\nContent-Length: 9", 401},
		"an expectation":        {"sk-inv-unknown", "Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 9", 401},
		"a type that is wrong":  {goodKey, "Content-Type: text/plain\r\nTransfer-Encoding: chunked", 415},
		"more than is accepted": {goodKey, "Content-Type: application/json\r\nContent-Length: 99999999", 413},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := b.dial(t)
			fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n%s\r\n\r\n", c.key, c.fields)
			all, err := io.ReadAll(conn) // to its end
			if err != nil || !strings.HasPrefix(string(all), fmt.Sprintf("HTTP/1.1 %d ", c.status)) {
				t.Errorf("%q, %v; want %d and the end", all, err, c.status)
			}
		})
	}
}
