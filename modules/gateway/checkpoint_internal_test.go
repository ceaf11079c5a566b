package gateway

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/spool"
)

// TestF28_aKilledProcessLeavesWhatAStreamHasUsed reads a stream for a while and
// then looks at what another process would find.
func TestF28_aKilledProcessLeavesWhatAStreamHasUsed(t *testing.T) {
	t.Parallel()
	b := newBed(t, dbtest.New(t), engine(t, (&patient{}).ServeHTTP))
	res := b.ask(t, "/v1/chat/completions", chatBody(`"stream":true,`))
	const read = 2*checkpointTokens + 10
	if _, err := io.ReadFull(res.Body, make([]byte, read*len(piece))); err != nil {
		t.Fatal(err)
	}
	killed := t.TempDir() // as the disk is now
	if err := os.CopyFS(killed, os.DirFS(b.spoolDir)); err != nil {
		t.Fatal(err)
	}
	recovered, err := spool.Open(killed)
	if err != nil {
		t.Fatal(err)
	}
	defer recovered.Close()
	batch, err := recovered.Next(10)
	if err != nil || len(batch.Records) != 1 {
		t.Fatalf("recovered %+v, %v", batch.Records, err)
	}
	r := batch.Records[0]
	if r.Status != spool.Interrupted || r.Error != "process_killed" || r.Source != spool.Counted || r.HTTPStatus != 200 || r.PromptTokens == 0 {
		t.Errorf("recovered %+v", r)
	}
	if lost := read - r.CompletionTokens; lost > checkpointTokens {
		t.Errorf("%d tokens recovered of %d", r.CompletionTokens, read)
	}
}

// TestF43_aRevokedKeyCutsItsStreams revokes the key of a stream that is running.
func TestF43_aRevokedKeyCutsItsStreams(t *testing.T) {
	t.Parallel()
	p := &patient{}
	b := newBed(t, dbtest.New(t), engine(t, p.ServeHTTP))
	res := b.ask(t, "/v1/chat/completions", chatBody(`"stream":true,`))
	if _, err := io.ReadFull(res.Body, make([]byte, len(piece))); err != nil {
		t.Fatal(err)
	}
	b.keys.revoked.Store(true)
	revoked := time.Now()
	got := text(t, res)
	if last := got[strings.LastIndex(got, "data: "):]; !strings.Contains(last, `"code":"key_revoked"`) || strings.Contains(got, "[DONE]") {
		t.Errorf("the stream ends with %q", last)
	}
	if took := time.Since(revoked); took > checkpointTime+2*time.Second {
		t.Errorf("the stream went on for %s", took)
	}
	eventually(t, 5*time.Second, "the upstream is cut off", func() bool { return p.cancelled.Load() == 1 })
	if r := b.stored(t); len(r) != 1 || r[0].Status != "interrupted" || r[0].Error != "key_revoked" || r[0].CompletionTokens == 0 {
		t.Errorf("records = %+v", r)
	}
}
