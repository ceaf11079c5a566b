package app_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/spool"
)

// TestF30_usageSpoolShowsASpoolInUse looks at one that is written, with damage.
func TestF30_usageSpoolShowsASpoolInUse(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	dir := filepath.Join(data, "spool")
	s, err := spool.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, status := range []spool.Status{spool.Opened, spool.Completed, spool.Completed, spool.Interrupted, spool.Completed} {
		if err := s.Append(&spool.Record{Status: status, RequestID: uuid.New()}); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.OpenFile(filepath.Join(dir, "000000000001.seg"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt([]byte("damage"), 200); err != nil { // in the second record
		t.Fatal(err)
	}
	code, out, errs := run(t, nil, "usage", "spool", "--data-dir", data, "-o", "json")
	var rows []map[string]any
	if err := json.Unmarshal([]byte(out), &rows); code != 0 || err != nil || len(rows) != 1 {
		t.Fatalf("exit %d, %v: %s%s", code, err, out, errs)
	}
	for field, want := range map[string]any{"file": "000000000001.seg", "state": "waiting", "waiting": 3.0, "completed": 2.0, "interrupted": 1.0, "open": 1.0} {
		if rows[0][field] != want {
			t.Errorf("%s is %v, want %v", field, rows[0][field], want)
		}
	}
	if bad, _ := rows[0]["bad_bytes"].(float64); bad < 100 {
		t.Errorf("%v bad bytes, want a record of them", bad)
	}
	code, out, _ = run(t, []string{"INVENTIV_DATA_DIR=" + data}, "usage", "spool")
	if code != 0 || !strings.HasPrefix(out, "FILE") || !strings.Contains(out, "000000000001.seg") {
		t.Errorf("exit %d: %s", code, out)
	}
	code, _, errs = run(t, nil, "usage", "spool", "--data-dir", t.TempDir())
	if code != 4 || !strings.Contains(errs, "--data-dir") || strings.Contains(errs, ".go") {
		t.Errorf("none there: exit %d: %s", code, errs)
	}
}
