package web_test

import (
	"bufio"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/web"
)

// streaming is a site whose only page is a stream of messages.
func streaming(t *testing.T, messages <-chan web.Message) http.Handler {
	t.Helper()
	r, err := web.New(web.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	r.GET("/events/stream", open, func(c *echo.Context) error { return web.Stream(c, messages) })
	h, err := r.Handler()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// follow serves a stream in the current bubble; done is closed when it ends.
func follow(t *testing.T, messages <-chan web.Message) (rec *httptest.ResponseRecorder, leave func(), done chan struct{}) {
	t.Helper()
	h := streaming(t, messages)
	ctx, cancel := context.WithCancel(t.Context())
	rec, done = httptest.NewRecorder(), make(chan struct{})
	req := httptest.NewRequestWithContext(ctx, http.MethodGet, "/events/stream", nil)
	go func() {
		defer close(done)
		h.ServeHTTP(rec, req)
	}()
	return rec, cancel, done
}

func TestStream_framesAndHeaders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		messages := make(chan web.Message)
		rec, _, done := follow(t, messages)
		messages <- web.Message{ID: "p:1", Event: "instance", Data: "one\ntwo\r\nthree\rfour"}
		messages <- web.Message{ID: "p:2\ndata: forged", Data: ""}
		close(messages)
		<-done
		want := ": connected\n\n" +
			"id: p:1\nevent: instance\ndata: one\ndata: two\ndata: three\ndata: four\n\n" +
			"id: p:2data: forged\ndata: \n\n"
		if got := rec.Body.String(); got != want {
			t.Errorf("stream = %q, want %q", got, want)
		}
		for name, want := range map[string]string{
			"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no",
		} {
			if got := rec.Header().Get(name); got != want {
				t.Errorf("%s = %q, want %q", name, got, want)
			}
		}
	})
}

func TestStream_beatsWhenQuietAndEndsWhenIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		rec, _, done := follow(t, make(chan web.Message))
		<-done
		if took := time.Since(start); took != 10*time.Minute {
			t.Errorf("an idle stream lived %s, want 10m", took)
		}
		if beats := strings.Count(rec.Body.String(), "event: alive\ndata:\n\n"); beats < 29 || beats > 30 {
			t.Errorf("%d heartbeats in 10 minutes, want one each 20 s", beats)
		}
	})
}

func TestStream_endsAfterItsLifeHoweverBusy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		messages := make(chan web.Message)
		_, _, done := follow(t, messages)
		tick := time.NewTicker(time.Minute)
		defer tick.Stop()
		for open := true; open; {
			select {
			case <-tick.C:
				select {
				case messages <- web.Message{Data: "x"}:
				case <-done:
				}
			case <-done:
				open = false
			}
		}
		if took := time.Since(start); took != 30*time.Minute {
			t.Errorf("a busy stream lived %s, want 30m", took)
		}
	})
}

func TestStream_endsWhenTheClientLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, leave, done := follow(t, make(chan web.Message))
		synctest.Wait()
		start := time.Now()
		leave()
		<-done
		if took := time.Since(start); took != 0 {
			t.Errorf("the stream outlived its client by %s", took)
		}
	})
}

func TestStream_refusesAnotherSite(t *testing.T) {
	t.Parallel()
	req := httptest.NewRequest(http.MethodGet, "/events/stream", nil)
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	req.Header.Set("Accept", "text/event-stream")
	rec := httptest.NewRecorder()
	streaming(t, nil).ServeHTTP(rec, req)
	if rec.Code != 403 || !strings.Contains(rec.Body.String(), "cross_origin") {
		t.Errorf("answered %d %s", rec.Code, rec.Body)
	}
}

// Over a real connection: messages arrive at once, and the server's own write
// timeout does not cut the stream.
func TestStream_isFlushedAndOutlivesTheWriteTimeout(t *testing.T) {
	t.Parallel()
	messages := make(chan web.Message)
	server := httptest.NewUnstartedServer(streaming(t, messages))
	server.Config.WriteTimeout = 50 * time.Millisecond
	server.Config.ReadTimeout = 50 * time.Millisecond
	server.Start()
	defer server.Close()

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/events/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	timeout := time.After(150 * time.Millisecond) // three times the server's
	for i := range 4 {
		if i == 2 {
			<-timeout
		}
		messages <- web.Message{Data: "here"}
		if !arrives(lines, "data: here") {
			t.Fatalf("message %d did not arrive: %v", i, lines.Err())
		}
	}
	close(messages)
	if arrives(lines, "data: more") || lines.Err() != nil {
		t.Errorf("the stream did not end cleanly: %v", lines.Err())
	}
}

// arrives reads until line comes, and reports whether it did before the end.
func arrives(lines *bufio.Scanner, line string) bool {
	for lines.Scan() {
		if lines.Text() == line {
			return true
		}
	}
	return false
}
