// Package keyring seals the secrets that Inventiv keeps in its database:
// provider credentials, endpoint keys, private keys of the agents' authority.
//
// A ring is a small file of master keys. The first one seals, all of them
// open, so a newer key can take over without a moment in which a secret cannot
// be read: the file with the new key goes to every replica, then each of them is
// restarted. One that runs still seals with the key it began with, and finds the
// new one in its file when it meets a secret of a replica that was restarted. A sealed secret is an AES-256-GCM envelope: a fresh data key, wrapped
// by a master key, encrypts the secret; both layers authenticate where the
// secret lives, so a ciphertext copied to another row does not open there.
//
// Whoever has the database but not the ring has nothing. Whoever loses the
// ring has lost the secrets: it belongs in a backup of its own.
package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

const (
	keySize = 32 // AES-256
	idSize  = 6  // bytes of a key's fingerprint; enough to tell a handful apart
	wrapped = keySize + sealOverhead
	version = 1

	// sealOverhead is what AES-GCM with a random nonce adds: nonce and tag.
	sealOverhead = 12 + 16
	headSize     = 1 + idSize + wrapped
)

// Ring holds the master keys of one installation. Make it with Load or Create.
// It is immutable and safe for concurrent use.
type Ring struct {
	keys []masterKey // newest first; never empty
	path string      // of the file, which may have got newer keys since
}

type masterKey struct {
	id     [idSize]byte
	secret []byte
	wrap   cipher.AEAD // wraps data keys; keyed by a key derived from secret
}

// UnknownKeyError is what Open returns when the secret was sealed with a key
// that the ring does not hold.
type UnknownKeyError struct {
	ID string // of the key that is needed
}

// Error names the key that is missing.
func (e *UnknownKeyError) Error() string {
	return "the key ring does not hold the key " + e.ID + ", with which this secret was sealed: give every replica the same file"
}

// errTampered is returned for a sealed secret that does not open: damaged,
// altered, or moved from another place.
var errTampered = errors.New("this sealed secret was altered or belongs somewhere else")

// Place names where a secret is kept. It is authenticated with the secret, so
// it must be the same when sealing and when opening.
func Place(table, column, organisation, row string) string {
	return table + "|" + column + "|" + organisation + "|" + row
}

// ID returns the id of the key that seals. It is a fingerprint of the key, not
// a name, so two rings with the same id hold the same key.
func (r *Ring) ID() string { return r.keys[0].name() }

// IDs returns the ids of all keys, the one that seals first.
func (r *Ring) IDs() []string {
	ids := make([]string, len(r.keys))
	for i, k := range r.keys {
		ids[i] = k.name()
	}
	return ids
}

// Holds reports whether the ring has the key with id.
func (r *Ring) Holds(id string) bool {
	for _, k := range r.keys {
		if k.name() == id {
			return true
		}
	}
	return false
}

// Seal encrypts plaintext for place (see Place).
func (r *Ring) Seal(place string, plaintext []byte) []byte {
	k := r.keys[0]
	dataKey := make([]byte, keySize)
	rand.Read(dataKey)

	sealed := make([]byte, 0, headSize+len(plaintext)+sealOverhead)
	sealed = append(sealed, version)
	sealed = append(sealed, k.id[:]...)
	sealed = k.wrap.Seal(sealed, nil, dataKey, []byte(place))
	return aead(dataKey).Seal(sealed, nil, plaintext, []byte(place))
}

// Open decrypts what Seal returned for the same place. It fails with an
// *UnknownKeyError when the key is neither in the ring nor, by now, in its file.
func (r *Ring) Open(place string, sealed []byte) ([]byte, error) {
	if len(sealed) < headSize+sealOverhead || sealed[0] != version {
		return nil, errTampered
	}
	id := [idSize]byte(sealed[1 : 1+idSize])
	k, ok := r.key(id)
	if !ok {
		newer, err := Load(r.path)
		if err == nil {
			k, ok = newer.key(id)
		}
		if !ok {
			return nil, &UnknownKeyError{ID: hex.EncodeToString(id[:])}
		}
	}
	dataKey, err := k.wrap.Open(nil, nil, sealed[1+idSize:headSize], []byte(place))
	if err != nil {
		return nil, errTampered
	}
	plaintext, err := aead(dataKey).Open(nil, nil, sealed[headSize:], []byte(place))
	if err != nil {
		return nil, errTampered
	}
	return plaintext, nil
}

// key returns the key with id.
func (r *Ring) key(id [idSize]byte) (k masterKey, ok bool) {
	for _, k := range r.keys {
		if k.id == id {
			return k, true
		}
	}
	return k, false
}

// Derive returns 32 secret bytes for one purpose, named by label: the pepper
// of API keys, for example. They come from the oldest key of the ring, so they
// stay the same when a newer key is added.
func (r *Ring) Derive(label string) []byte {
	return derive(r.keys[len(r.keys)-1].secret, "inventiv derive "+label)
}

func newMasterKey(secret []byte) masterKey {
	k := masterKey{secret: secret, wrap: aead(derive(secret, "inventiv wrap"))}
	copy(k.id[:], derive(secret, "inventiv id"))
	return k
}

func (k masterKey) name() string { return hex.EncodeToString(k.id[:]) }

func derive(secret []byte, info string) []byte {
	b, err := hkdf.Key(sha256.New, secret, nil, info, keySize)
	if err != nil {
		panic(fmt.Sprintf("keyring: derive %d bytes: %v", keySize, err)) // only for an impossible length
	}
	return b
}

func aead(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(fmt.Sprintf("keyring: AES key of %d bytes: %v", len(key), err))
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(fmt.Sprintf("keyring: GCM: %v", err))
	}
	return gcm
}
