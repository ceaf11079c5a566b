package keyring_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/keyring"
)

func newRing(t *testing.T) (ring *keyring.Ring, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "master.key")
	ring, err := keyring.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	return ring, path
}

func TestSeal_opensOnlyInItsPlace(t *testing.T) {
	t.Parallel()
	ring, _ := newRing(t)
	here := keyring.Place("gateway.endpoints", "key", "org-a", "row-1")
	secret := []byte("sk-upstream-secret")
	sealed := ring.Seal(here, secret)

	if bytes.Contains(sealed, secret) {
		t.Fatal("the sealed secret holds the plaintext")
	}
	if again := ring.Seal(here, secret); bytes.Equal(again, sealed) {
		t.Error("sealing twice gave the same bytes")
	}
	got, err := ring.Open(here, sealed)
	if err != nil || !bytes.Equal(got, secret) {
		t.Fatalf("Open = %q, %v", got, err)
	}
	for name, place := range map[string]string{
		"row":          keyring.Place("gateway.endpoints", "key", "org-a", "row-2"),
		"organisation": keyring.Place("gateway.endpoints", "key", "org-b", "row-1"),
		"column":       keyring.Place("gateway.endpoints", "other", "org-a", "row-1"),
		"table":        keyring.Place("auth.users", "key", "org-a", "row-1"),
	} {
		if got, err := ring.Open(place, sealed); err == nil {
			t.Errorf("copied to another %s, the secret opened: %q", name, got)
		}
	}
}

func TestOpen_refusesEveryDamagedByte(t *testing.T) {
	t.Parallel()
	ring, _ := newRing(t)
	sealed := ring.Seal("place", []byte("s"))
	for i := range sealed {
		damaged := bytes.Clone(sealed)
		damaged[i] ^= 1
		if _, err := ring.Open("place", damaged); err == nil {
			t.Errorf("opened with byte %d of %d changed", i, len(sealed))
		}
		if _, err := ring.Open("place", sealed[:i]); err == nil {
			t.Errorf("opened when cut to %d of %d bytes", i, len(sealed))
		}
	}
}

// F41: a wrong key is named by its id.
func TestOpen_F41_namesTheMissingKey(t *testing.T) {
	t.Parallel()
	mine, _ := newRing(t)
	other, _ := newRing(t)
	_, err := other.Open("place", mine.Seal("place", []byte("s")))
	unknown, ok := errors.AsType[*keyring.UnknownKeyError](err)
	if !ok || unknown.ID != mine.ID() || !strings.Contains(err.Error(), mine.ID()) {
		t.Fatalf("Open with the wrong ring = %v, want UnknownKeyError naming %s", err, mine.ID())
	}
	if other.Holds(mine.ID()) || !mine.Holds(mine.ID()) {
		t.Error("Holds is wrong")
	}
}

func TestLoad_isTheRingThatWasCreated(t *testing.T) {
	t.Parallel()
	ring, path := newRing(t)
	loaded, err := keyring.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if loaded.ID() != ring.ID() || !bytes.Equal(loaded.Derive("x"), ring.Derive("x")) {
		t.Error("the loaded ring is another one")
	}
	if bytes.Equal(ring.Derive("x"), ring.Derive("y")) || len(ring.Derive("x")) != 32 {
		t.Error("Derive does not depend on its label")
	}
	if got, err := loaded.Open("p", ring.Seal("p", []byte("s"))); err != nil || string(got) != "s" {
		t.Errorf("Open = %q, %v", got, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, %v; want 0600", info.Mode(), err)
	}
}

func TestCreate_manyAtOnceAgreeOnOneRing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "master.key")
	ids := make([]string, 8)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			ring, err := keyring.Create(path)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = ring.ID()
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("rings differ: %v", ids)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("files left: %v, %v; want the ring only", left, err)
	}
}

func TestAdd_keepsWhatWasThere(t *testing.T) {
	t.Parallel()
	old, path := newRing(t)
	sealed := old.Seal("p", []byte("s"))

	ring, err := keyring.Add(path)
	if err != nil {
		t.Fatal(err)
	}
	if ring.ID() == old.ID() {
		t.Error("the new key does not seal")
	}
	if got := ring.IDs(); len(got) != 2 || got[1] != old.ID() {
		t.Errorf("IDs = %v, want the new one and %s", got, old.ID())
	}
	if got, err := ring.Open("p", sealed); err != nil || string(got) != "s" {
		t.Errorf("Open of an old secret = %q, %v", got, err)
	}
	if !bytes.Equal(ring.Derive("api-key-pepper"), old.Derive("api-key-pepper")) {
		t.Error("adding a key changed what Derive returns: every API key would be refused")
	}
	loaded, err := keyring.Load(path)
	if err != nil || loaded.ID() != ring.ID() {
		t.Errorf("Load after Add = %v", err)
	}
}

// A replica that runs while others are restarted with a new key opens what they
// seal, if it was given the file.
func TestOpen_findsKeysThatWereAddedSince(t *testing.T) {
	t.Parallel()
	running, path := newRing(t)
	elsewhere := filepath.Join(t.TempDir(), "master.key") // of a replica that was not given the new one
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(elsewhere, content, 0o600); err != nil {
		t.Fatal(err)
	}
	forgotten, err := keyring.Load(elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	restarted, err := keyring.Add(path)
	if err != nil {
		t.Fatal(err)
	}
	sealed := restarted.Seal("p", []byte("s"))
	if got, err := running.Open("p", sealed); err != nil || string(got) != "s" {
		t.Errorf("with the new file: %q, %v", got, err)
	}
	if _, err := running.Open("another place", sealed); err == nil {
		t.Error("a key of the file opens in any place")
	}
	if running.ID() == restarted.ID() {
		t.Error("a running replica seals with a key that others may not have yet")
	}
	_, err = forgotten.Open("p", sealed)
	if unknown, ok := errors.AsType[*keyring.UnknownKeyError](err); !ok || unknown.ID != restarted.ID() {
		t.Errorf("without the new file: %v, want UnknownKeyError naming %s", err, restarted.ID())
	}
}

func TestAdd_throughALink(t *testing.T) {
	t.Parallel()
	_, path := newRing(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.Add(link)
	if err != nil {
		t.Fatal(err)
	}
	if at, err := os.Readlink(link); err != nil || at != path {
		t.Errorf("the link is %q, %v", at, err)
	}
	if loaded, err := keyring.Load(path); err != nil || loaded.ID() != ring.ID() {
		t.Errorf("what it points to: %v", err)
	}
}

// B44: a key file that others may read is refused, and so is a damaged one.
func TestLoad_B44_refusals(t *testing.T) {
	t.Parallel()
	_, path := newRing(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(whole)
	last := text[strings.LastIndex(strings.TrimSpace(text), "\n")+1:]

	for name, c := range map[string]struct {
		content string
		mode    os.FileMode
		want    string
	}{
		"group may read":   {text, 0o640, "0640"},
		"world may read":   {text, 0o604, "0604"},
		"empty":            {"", 0o600, "no key"},
		"comments only":    {"# nothing\n\n", 0o600, "no key"},
		"not base64":       {"abc !!!\n", 0o600, "line 1"},
		"short key":        {"abc c2hvcnQ=\n", 0o600, "line 1"},
		"relabelled":       {"000000000000" + last[12:], 0o600, "does not hold the key it names"},
		"the same twice":   {last + last, 0o600, "repeats"},
		"a line too long":  {strings.Repeat("x", 1<<17), 0o600, "read to its end"},
		"nothing like one": {"\x00\x01\x02", 0o600, "line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := filepath.Join(t.TempDir(), "ring")
			if err := os.WriteFile(p, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(p, c.mode); err != nil {
				t.Fatal(err)
			}
			_, err := keyring.Load(p)
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("Load = %v, want fault.Invalid with %q", err, c.want)
			}
			if _, secret, _ := strings.Cut(strings.TrimSpace(last), " "); strings.Contains(err.Error(), secret) {
				t.Error("the error holds the key")
			}
		})
	}

	if _, err := keyring.Load(filepath.Join(t.TempDir(), "none")); !fault.Is(err, fault.NotFound) {
		t.Errorf("Load of nothing = %v, want fault.NotFound", err)
	}
	if _, err := keyring.Load(t.TempDir()); !fault.Is(err, fault.Invalid) {
		t.Errorf("Load of a folder = %v, want fault.Invalid", err)
	}
}
