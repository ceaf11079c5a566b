package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

// The cost of a password hash: OWASP's argon2id minimum, 19 MiB and two passes,
// about 20 ms of one core. A hash with other parameters is still verified, and
// replaced at the next sign-in.
const (
	argonMemory  = 19 << 10 // KiB
	argonTime    = 2
	argonThreads = 1
	saltLen      = 16
	hashLen      = 32
)

const (
	minPassword = 12
	maxPassword = 1024
)

// hasher computes password hashes, a few at a time: each takes 19 MiB, and a
// flood of sign-ins must not take the machine.
type hasher struct {
	slots chan struct{} // hashes that run
	queue chan struct{} // and those that wait
}

func newHasher() *hasher {
	return &hasher{slots: make(chan struct{}, 2), queue: make(chan struct{}, 18)}
}

// enter waits for a slot. It fails with fault.Unavailable when the queue is full.
func (h *hasher) enter(ctx context.Context) (leave func(), err error) {
	select {
	case h.queue <- struct{}{}:
	default:
		return nil, fault.New(fault.Unavailable, "Too many people are signing in at this moment.").WithFix("Try again in a few seconds.")
	}
	select {
	case h.slots <- struct{}{}:
		return func() { <-h.slots; <-h.queue }, nil
	case <-ctx.Done():
		<-h.queue
		return nil, fmt.Errorf("wait for a password hash: %w", ctx.Err())
	}
}

// hash returns the PHC string of a password.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	leave, err := h.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	salt := make([]byte, saltLen)
	rand.Read(salt) // never fails: it ends the process instead
	sum := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, hashLen)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads, b64(salt), b64(sum)), nil
}

// verify reports whether password has the PHC hash, and whether the hash should
// be made anew. An empty hash takes as long and never matches.
func (h *hasher) verify(ctx context.Context, password, phc string) (ok, stale bool, err error) {
	leave, err := h.enter(ctx)
	if err != nil {
		return false, false, err
	}
	defer leave()
	memory, passes, threads := uint32(argonMemory), uint32(argonTime), uint8(argonThreads)
	salt, want := make([]byte, saltLen), make([]byte, hashLen)
	if phc != "" {
		parts := strings.Split(phc, "$")
		if len(parts) != 6 || parts[1] != "argon2id" {
			return false, false, fmt.Errorf("read a password hash: %d parts", len(parts))
		}
		if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &passes, &threads); err != nil {
			return false, false, fmt.Errorf("read a password hash: %w", err)
		}
		var err1, err2 error
		salt, err1 = base64.RawStdEncoding.DecodeString(parts[4])
		want, err2 = base64.RawStdEncoding.DecodeString(parts[5])
		if err1 != nil || err2 != nil {
			return false, false, fmt.Errorf("read a password hash: bad encoding")
		}
	}
	got := argon2.IDKey([]byte(password), salt, passes, memory, threads, uint32(len(want))) //nolint:gosec // a few bytes
	ok = subtle.ConstantTimeCompare(got, want) == 1 && phc != ""
	return ok, ok && (memory != argonMemory || passes != argonTime || threads != argonThreads), nil
}

// checkPassword refuses a password that is too short, too long or guessed
// first. context holds words an attacker would try: the e-mail address, names.
func checkPassword(password string, context ...string) error {
	weak := func(text string) error {
		return fault.New(fault.Invalid, text).WithFix("A few unrelated words make a good one.").WithField("password").WithKind("weak_password")
	}
	if len(password) < minPassword {
		return weak(fmt.Sprintf("A password needs at least %d characters.", minPassword))
	}
	if len(password) > maxPassword {
		return weak(fmt.Sprintf("A password has at most %d bytes.", maxPassword))
	}
	lower := strings.ToLower(password)
	distinct := map[rune]bool{}
	for _, r := range lower {
		distinct[r] = true
	}
	if len(distinct) < 5 {
		return weak("This password repeats a few characters.")
	}
	core := lower
	for _, word := range append(context, "inventiv", "password", "motdepasse", "azerty", "qwerty", "letmein", "welcome", "administrator", "admin", "1234567890", "123456") {
		if word = strings.ToLower(word); len(word) >= 4 {
			core = strings.ReplaceAll(core, word, "")
		}
	}
	if len(core) < minPassword/2 {
		return weak("This password is made of words that are tried first.")
	}
	return nil
}
