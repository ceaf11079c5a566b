package app_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/app/keyring"
)

func TestMasterKey_addsOneAndLists(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "master.key")
	if code, _, errs := run(t, nil, "master-key", "add", "--master-key-file", path); code != 4 || !strings.Contains(errs, "There is no key ring at "+path) {
		t.Errorf("without a ring: exit %d, %s", code, errs)
	}
	old, err := keyring.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	code, out, errs := run(t, nil, "master-key", "add", "--master-key-file", path)
	ring, err := keyring.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if code != 0 || ring.ID() == old.ID() || !strings.Contains(out, ring.ID()) {
		t.Errorf("add: exit %d, %s%s", code, out, errs)
	}
	code, out, errs = run(t, nil, "master-key", "list", "--master-key-file", path)
	if want := ring.ID() + " seals\n" + old.ID() + " opens\n"; code != 0 || out != want {
		t.Errorf("list: exit %d, %q, want %q %s", code, out, want, errs)
	}
}
