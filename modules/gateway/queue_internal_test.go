package gateway

import (
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
)

func TestWait_boundsWhatAReplicaIsSent(t *testing.T) {
	t.Parallel()
	begun, goOn := make(chan struct{}, 8), make(chan struct{})
	b := newBed(t, dbtest.New(t), engine(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		begun <- struct{}{}
		<-goOn
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, wholeAnswer)
	}))
	b.limits.replica, b.limits.wait = 1, time.Minute
	if _, err := b.reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			if res := b.ask(t, "/v1/chat/completions", chatBody("")); res.StatusCode != http.StatusOK {
				t.Errorf("got %d %s", res.StatusCode, text(t, res))
			}
		})
	}
	<-begun
	eventually(t, 5*time.Second, "the other one waits", func() bool { return b.waiting() == 1 })
	res := b.ask(t, "/v1/chat/completions", chatBody(""))
	if res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") == "" || res.Header.Get("X-Should-Retry") != "true" || code(t, res) != "model_overloaded" {
		t.Errorf("a third one: %d %v", res.StatusCode, res.Header)
	}
	close(goOn)
	both.Wait()
	if b.waiting() != 0 || len(b.stored(t)) != 2 {
		t.Error("somebody waits, or is not on record")
	}
	b.limits.wait = time.Millisecond
	if res := b.ask(t, "/v1/chat/completions", chatBody("")); res.StatusCode != http.StatusOK {
		t.Errorf("when all have left: %d %s", res.StatusCode, text(t, res))
	}
}
