package keyring

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

const header = `# Inventiv's master keys. They open the secrets in the database: keep this file
# private (mode 0600), give every replica the same one, and keep a copy apart
# from the backups of the database. The first key seals, all of them open.
`

// Load reads the ring at path. It fails with fault.NotFound when there is no
// file, and with fault.Invalid when others may read it or its content is not
// a ring.
func Load(path string) (*Ring, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Newf(fault.NotFound, "There is no key ring at %s.", path).WithCause(err).
			WithFix("Put the ring of this installation there, or name it with INVENTIV_MASTER_KEY_FILE.")
	}
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "The key ring %s cannot be read.", path).WithCause(err)
	}
	defer f.Close()

	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at key ring %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fault.Newf(fault.Invalid, "The key ring %s is not a regular file.", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fault.Newf(fault.Invalid, "The key ring %s has mode %04o: other users of this machine may read it.", path, mode).
			WithFix("Run chmod 600 " + path + "; if somebody may have read it, see docs/operations.md, The master key.")
	}
	ring, err := parse(bufio.NewScanner(f))
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "The key ring %s is not usable: %v.", path, err).
			WithFix("Restore it from a copy; do not edit it by hand.")
	}
	ring.path = path
	return ring, nil
}

// Create makes a ring with one new key at path, mode 0600, and returns it. The
// file appears whole or not at all, and an existing one is never replaced:
// when another process was faster, Create returns that process's ring.
//
// The caller makes sure that the database does not yet name a key; a second
// ring would leave its secrets unreadable.
func Create(path string) (*Ring, error) {
	ring := &Ring{keys: []masterKey{generate()}, path: path}
	temp, err := writeTemp(path, ring)
	if err != nil {
		return nil, fmt.Errorf("create key ring: %w", err)
	}
	defer os.Remove(temp)
	switch err := os.Link(temp, path); {
	case errors.Is(err, fs.ErrExist):
		return Load(path)
	case err != nil:
		return nil, fmt.Errorf("create key ring: %w", err)
	}
	return ring, syncDir(path)
}

// Add puts a new key in front of those in the ring at path and returns the new
// ring. What was sealed before still opens, and Derive returns what it did. The
// file keeps its owner, who need not be the caller; a link to it stays one.
func Add(path string) (*Ring, error) {
	old, err := Load(path)
	if err != nil {
		return nil, err
	}
	ring := &Ring{keys: append([]masterKey{generate()}, old.keys...), path: path}
	if err := ring.replace(); err != nil {
		return nil, fault.Newf(fault.Invalid, "The key ring %s cannot be replaced.", path).WithCause(err).
			WithFix("Run this where its folder can be written, as the user that may, and take the new file to where serve reads it.")
	}
	return ring, nil
}

// replace writes ring over the file that it was read from.
func (r *Ring) replace() error {
	path, err := filepath.EvalSymlinks(r.path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	temp, err := writeTemp(path, r)
	if err != nil {
		return err
	}
	if of, ok := info.Sys().(*syscall.Stat_t); ok {
		err = os.Chown(temp, int(of.Uid), int(of.Gid))
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return syncDir(path)
}

func generate() masterKey {
	secret := make([]byte, keySize)
	rand.Read(secret)
	return newMasterKey(secret)
}

// writeTemp writes ring next to path, durably, and returns the file's name.
// os.CreateTemp makes it with mode 0600.
func writeTemp(path string, ring *Ring) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".master-key-*")
	if err != nil {
		return "", err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	text := bytes.NewBufferString(header)
	for _, k := range ring.keys {
		fmt.Fprintf(text, "%s %s\n", k.name(), base64.StdEncoding.EncodeToString(k.secret))
	}
	if _, err := f.Write(text.Bytes()); err != nil {
		return "", err
	}
	return f.Name(), f.Sync()
}

// syncDir makes the new name of path survive a power loss.
func syncDir(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("sync folder of key ring: %w", err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("sync folder of key ring: %w", err)
	}
	return nil
}

// parse reads lines of "id base64-key". Its errors never hold key material.
func parse(lines *bufio.Scanner) (*Ring, error) {
	ring := &Ring{}
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, encoded, _ := strings.Cut(line, " ")
		secret, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
		if err != nil || len(secret) != keySize {
			return nil, fmt.Errorf("line %d does not hold a key of %d bytes in base64", n, keySize)
		}
		k := newMasterKey(secret)
		if k.name() != id {
			return nil, fmt.Errorf("line %d does not hold the key it names", n)
		}
		if ring.Holds(id) {
			return nil, fmt.Errorf("line %d repeats a key", n)
		}
		ring.keys = append(ring.keys, k)
	}
	if err := lines.Err(); err != nil {
		return nil, errors.New("it cannot be read to its end")
	}
	if len(ring.keys) == 0 {
		return nil, errors.New("it holds no key")
	}
	return ring, nil
}
