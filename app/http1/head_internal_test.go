package http1

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func mine(path string) bool { return strings.HasPrefix(path, "/v1/") }

// FuzzHead holds what we take against net/http: whatever is ours it reads in the
// same way.
func FuzzHead(f *testing.F) {
	f.Add([]byte("POST /v1/chat/completions HTTP/1.1\r\nHost: us:8080\r\nauthorization: Bearer x\r\nContent-Length: 2\r\nX-A: 1\r\nx-a: 2\r\n\r\n{}"))
	f.Add([]byte("GET /v1/models HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n"))
	f.Add([]byte("GET /v1/models HTTP/1.1\r\nHost: a\r\n X: folded\r\n\r\n"))
	f.Add([]byte("POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h := head{header: http.Header{}}
		v, n := h.parse(b, mine)
		if v != ours {
			return
		}
		want, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b[:n])))
		if err != nil {
			t.Fatalf("ours, but net/http says %v", err)
		}
		if h.method != want.Method || h.path != want.URL.Path || want.URL.RawPath != "" || want.URL.RawQuery != "" || h.host != want.Host ||
			max(0, h.length) != want.ContentLength || h.close != want.Close || len(want.TransferEncoding) > 0 {
			t.Errorf("we read %+v, net/http %+v", h, want)
		}
		delete(h.header, "Connection") // which net/http takes out when it is alone
		delete(want.Header, "Connection")
		if diff := cmp.Diff(want.Header, h.header); diff != "" {
			t.Error(diff)
		}
	})
}

// TestParse_waitsForTheRest: a head that comes in pieces is taken when it is
// whole and given away as soon as it cannot be ours.
func TestParse_waitsForTheRest(t *testing.T) {
	t.Parallel()
	const text = "POST /v1/x HTTP/1.1\r\nHost: us\r\nContent-Length: 2\r\n\r\n"
	for n := 1; n <= len(text); n++ {
		h := head{header: http.Header{}}
		v, used := h.parse([]byte(text[:n]), mine)
		if whole := n == len(text); whole && (v != ours || used != n) || !whole && v != incomplete {
			t.Errorf("%q: verdict %d, %d bytes", text[:n], v, used)
		}
	}
	for _, early := range []string{"G\n", "X", "PUT", "GET http", "GET /login HTTP/1.1\r\n", "GET /v1/x\r\n", "\r\n"} {
		h := head{header: http.Header{}}
		if v, _ := h.parse([]byte(early), mine); v != theirs {
			t.Errorf("%q: verdict %d, want theirs", early, v)
		}
	}
}

func TestParse_allocatesOnce(t *testing.T) { //nolint:paralleltest // allocations are counted
	b := []byte("POST /v1/chat/completions HTTP/1.1\r\nHost: us\r\ncontent-type: application/json\r\nAuthorization: Bearer x\r\nContent-Length: 2\r\n\r\n")
	h := head{header: make(http.Header, 16)}
	if n := testing.AllocsPerRun(100, func() { h.parse(b, mine) }); n > 1 {
		t.Errorf("%v allocations, want the text alone", n)
	}
}
