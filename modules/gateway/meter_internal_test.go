package gateway

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/spool"
)

// TestFlush_oneBadRecordHoldsUpNoOther puts a record there that breaks a
// constraint of the database.
func TestFlush_oneBadRecordHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	b := newBed(t, dbtest.New(t))
	for i := range 9 {
		r := spool.Record{
			Status: spool.Completed, RequestID: uuid.Must(uuid.NewV7()), StartedAt: time.Now(), Organisation: b.organisation, UpstreamID: uuid.New(), Model: model,
		}
		if i == 4 {
			r.PromptTokens = -1
		}
		if err := b.spool.Append(&r); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.stored(t); len(got) != 8 {
		t.Errorf("%d records, want 8", len(got))
	}
}

// TestServeAs_metersAMember asks as the playground does.
func TestServeAs_metersAMember(t *testing.T) {
	t.Parallel()
	b := newBed(t, dbtest.New(t), answering(t, 200, "application/json", wholeAnswer))
	user := uuid.New()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/chat/completions", strings.NewReader(chatBody("")))
	req.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	b.ServeAs(w, req, Caller{Organisation: b.organisation, UserID: user})
	if w.Code != http.StatusOK || w.Body.String() != wholeAnswer {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if r := b.stored(t); len(r) != 1 || r[0].UserID != user || r[0].KeyID != uuid.Nil {
		t.Errorf("records = %+v", r)
	}
	w = httptest.NewRecorder()
	b.ServeAs(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/admin", nil), Caller{})
	if w.Code != http.StatusNotFound {
		t.Errorf("another path: %d", w.Code)
	}
}
