package gateway

import (
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
)

func TestUse_isToldEveryHalfMinute(t *testing.T) {
	t.Parallel()
	b := newBed(t, dbtest.New(t), answering(t, 200, "application/json", wholeAnswer))
	b.stored(t)
	if len(b.instances.used) != 0 {
		t.Errorf("before anything: %v", b.instances.used)
	}
	for range 3 {
		_ = text(t, b.ask(t, "/v1/chat/completions", chatBody("")))
		b.stored(t)
	}
	if len(b.instances.used) != 0 {
		t.Errorf("told within half a minute: %v", b.instances.used)
	}
	b.noted = time.Now().Add(-useEvery)
	b.stored(t)
	if len(b.instances.used) != 1 || len(b.instances.used[0]) != 1 || b.instances.used[0][0] != b.instances.order[0] {
		t.Errorf("after half a minute: %v", b.instances.used)
	}
	to := b.table.Load().targets[b.instances.order[0]]
	to.replica.Begin(true)
	b.noted = time.Now().Add(-useEvery)
	b.stored(t)
	to.replica.End(true)
	b.noted = time.Now().Add(-useEvery)
	b.stored(t)
	if len(b.instances.used) != 2 {
		t.Errorf("a stream that runs is a use, and nothing is none: %v", b.instances.used)
	}
}
