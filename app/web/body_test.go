package web_test

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/web"
)

// A body that never arrives does not keep a handler for ever, and the limit of
// one that has arrived does not cut off its answer.
func TestLimitBody_aSlowBodyIsCutOff(t *testing.T) {
	t.Parallel()
	const limit = 100 * time.Millisecond
	r, err := web.New(web.Config{Log: slog.New(slog.DiscardHandler), BodyTime: limit})
	if err != nil {
		t.Fatal(err)
	}
	r.Handle(http.MethodPost, "/api/v1/x", open, func(c *echo.Context) error {
		if err := web.ReadJSON(c, &struct{}{}); err != nil {
			return err
		}
		select {
		case <-time.After(3 * limit):
			return c.String(http.StatusOK, "done")
		case <-c.Request().Context().Done():
			return c.Request().Context().Err()
		}
	})
	h, err := r.Handler()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	for name, c := range map[string]struct {
		body   string // of five bytes
		status int
		says   string
	}{
		"whole":           {`{   }`, 200, "done"},
		"half":            {`{`, 408, `"code":"request_timeout"`},
		"the end missing": {`{}`, 408, `"code":"request_timeout"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var d net.Dialer
			conn, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(server.URL, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, "POST /api/v1/x HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n"+c.body); err != nil {
				t.Fatal(err)
			}
			answers := bufio.NewReader(conn)
			res, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			text, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != c.status || !strings.Contains(string(text), c.says) {
				t.Errorf("%d %s, %v; want %d with %s", res.StatusCode, text, err, c.status, c.says)
			}
		})
	}
}
