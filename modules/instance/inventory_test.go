package instance_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
)

// stored is what the mock cloud wrote down, read by somebody who does not trust
// its code.
type stored struct {
	Servers map[string]struct {
		ID        string     `json:"id"`
		Instance  uuid.UUID  `json:"instance"`
		CreatedAt time.Time  `json:"created_at"`
		GoneAt    *time.Time `json:"gone_at"`
		PID       int        `json:"pid"`
		Volume    struct {
			ID     string     `json:"id"`
			GoneAt *time.Time `json:"gone_at"`
		} `json:"volume"`
		Address struct {
			ID     string     `json:"id"`
			GoneAt *time.Time `json:"gone_at"`
		} `json:"address"`
	} `json:"servers"`
	Calls  map[string]int `json:"calls"`
	Failed map[string]int `json:"failed"`
}

func (w *world) failed(t *testing.T) map[string]int {
	t.Helper()
	return w.stored(t).Failed
}

func (w *world) stored(t *testing.T) stored {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(w.dir, "mock", "inventory.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s stored
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// age makes everything of the mock cloud as old as begin.
func (w *world) age(t *testing.T, begin time.Time) {
	t.Helper()
	path := filepath.Join(w.dir, "mock", "inventory.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	servers, _ := all["servers"].(map[string]any)
	for _, s := range servers {
		server, _ := s.(map[string]any)
		server["created_at"] = begin
	}
	if raw, err = json.Marshal(all); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// sameAsInventory holds the table of what is billed against the cloud's own
// record: the same things, the same begin and the same end, to the second.
func (w *world) sameAsInventory(t *testing.T) {
	t.Helper()
	type interval struct {
		begin time.Time
		end   *time.Time
	}
	theirs := map[string]interval{}
	for _, s := range w.stored(t).Servers {
		theirs[s.ID] = interval{s.CreatedAt, s.GoneAt}
		theirs[s.Volume.ID] = interval{s.CreatedAt, s.Volume.GoneAt}
		theirs[s.Address.ID] = interval{s.CreatedAt, s.Address.GoneAt}
	}
	ours, err := w.Resources(t.Context(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range ours {
		i, ok := theirs[r.ProviderID]
		delete(theirs, r.ProviderID)
		switch {
		case !ok:
			t.Errorf("%s %s is billed and never existed", r.Kind, r.ProviderID)
		case i.begin.Sub(r.CreatedAt).Abs() >= time.Second:
			t.Errorf("%s began at %s, billed from %s", r.Kind, i.begin, r.CreatedAt)
		case (i.end == nil) != (r.GoneAt == nil):
			t.Errorf("%s ended at %v, billed until %v", r.Kind, i.end, r.GoneAt)
		case i.end != nil && i.end.Sub(*r.GoneAt).Abs() >= time.Second:
			t.Errorf("%s ended at %s, billed until %s", r.Kind, i.end, r.GoneAt)
		}
	}
	for id := range theirs {
		t.Errorf("%s exists and is not billed", id)
	}
}
