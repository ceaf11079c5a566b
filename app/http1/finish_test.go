package http1_test

import (
	"io"
	"net/http"
	"testing"
)

func TestFinish_sendsTheAnswerBeforeTheHandlerHasEnded(t *testing.T) {
	t.Parallel()
	seen := make(chan struct{})
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/v1/last" {
			w.Header().Set("Connection", "close")
		}
		_, _ = io.WriteString(w, "whole")
		f, ok := w.(interface{ Finish() })
		if !ok {
			t.Error("the response cannot be finished")
			return
		}
		f.Finish()
		f.Finish() // says nothing new
		<-seen
		if r.URL.Path != "/v1/last" {
			return
		}
		if _, err := io.WriteString(w, " and more"); err == nil {
			t.Error("more is taken after the end")
		}
	})
	c, r := b.dial(t)
	for _, path := range []string{"/v1/first", "/v1/second", "/v1/last"} {
		_, _ = io.WriteString(c, post(path, "", "{}"))
		if res, body := receive(t, r); res.status != http.StatusOK || body != "whole" || res.last != (path == "/v1/last") {
			t.Errorf("%s: %d %q, last %v", path, res.status, body, res.last)
		}
		seen <- struct{}{}
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("err = %v, want the end", err)
	}
}
