package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	_ "embed" // the list of common passwords
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"unicode"
	"unicode/utf8"

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
	minPassword   = 12   // characters
	maxPassword   = 1024 // bytes
	runningAtOnce = 2    // hashes, hence 38 MiB
	waitingAtMost = 16   // for one of them
)

// hasher computes password hashes, a few at a time: each takes 19 MiB, and a
// flood of sign-ins must not take the machine.
type hasher struct {
	slots chan struct{} // one for each hash that runs
	queue chan struct{} // one for each that runs or waits
	begun atomic.Int64  // hashes so far: the work that a sign-in costs, whoever it is
}

func newHasher() *hasher {
	return &hasher{slots: make(chan struct{}, runningAtOnce), queue: make(chan struct{}, runningAtOnce+waitingAtMost)}
}

// enter waits for a slot. It fails with fault.Unavailable when the queue is full.
func (h *hasher) enter(ctx context.Context) (leave func(), err error) {
	select {
	case h.queue <- struct{}{}:
	default:
		return nil, fault.New(fault.Unavailable, "Too many people are signing in at this moment.").WithFix("Try again in a few seconds.").
			WithKind("sign_in_busy")
	}
	select {
	case h.slots <- struct{}{}:
		h.begun.Add(1)
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
	rand.Read(salt)
	sum := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, hashLen)
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads, b64(salt), b64(sum)), nil
}

// verify reports whether password has the PHC hash, and whether the hash should
// be made anew. An empty hash takes as long as one of ours and never matches.
func (h *hasher) verify(ctx context.Context, password, phc string) (ok, stale bool, err error) {
	want := phcHash{memory: argonMemory, passes: argonTime, threads: argonThreads, salt: make([]byte, saltLen), sum: make([]byte, hashLen)}
	if phc != "" {
		if want, err = parsePHC(phc); err != nil {
			return false, false, fmt.Errorf("read a password hash: %w", err)
		}
	}
	if len(password) > maxPassword { // nobody's: no use in hashing megabytes
		password, phc = "", ""
	}
	leave, err := h.enter(ctx)
	if err != nil {
		return false, false, err
	}
	defer leave()
	got := argon2.IDKey([]byte(password), want.salt, want.passes, want.memory, want.threads, uint32(len(want.sum)))
	ok = subtle.ConstantTimeCompare(got, want.sum) == 1 && phc != ""
	return ok, ok && (want.memory != argonMemory || want.passes != argonTime || want.threads != argonThreads), nil
}

// phcHash is a hash with its cost, as "$argon2id$v=19$m=19456,t=2,p=1$salt$sum".
type phcHash struct {
	memory, passes uint32
	threads        uint8
	salt, sum      []byte
}

func parsePHC(phc string) (h phcHash, err error) {
	parts := strings.Split(phc, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return h, errors.New("it is not argon2id")
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.passes, &h.threads); err != nil {
		return h, fmt.Errorf("its cost: %w", err)
	}
	if h.salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil {
		return h, fmt.Errorf("its salt: %w", err)
	}
	if h.sum, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil {
		return h, fmt.Errorf("its sum: %w", err)
	}
	return h, nil
}

// common holds passwords, and words in them, that are tried first.
//
//go:embed common.txt
var common string

// leet undoes the usual disguises of letters.
var leet = strings.NewReplacer("@", "a", "4", "a", "0", "o", "1", "i", "!", "i", "3", "e", "$", "s", "5", "s", "7", "t")

// checkPassword refuses a password that is too short, too long, or what would
// be tried first: common words, the user's own address, repetitions. There is no
// rule of composition. It fails with fault.Invalid, kind weak_password.
func checkPassword(password, email string) error {
	weak := func(text string) error {
		return fault.New(fault.Invalid, text).WithFix("A few unrelated words make a good one.").WithField("password").WithKind("weak_password")
	}
	if utf8.RuneCountInString(password) < minPassword {
		return weak(fmt.Sprintf("A password needs at least %d characters.", minPassword))
	}
	if len(password) > maxPassword {
		return weak(fmt.Sprintf("A password has at most %d bytes.", maxPassword))
	}
	if obvious(strings.ToLower(password), email) || obvious(leet.Replace(strings.ToLower(password)), email) {
		return weak("This password is one of those that are tried first.")
	}
	return nil
}

// obvious reports whether little is left of a password without the words that
// anybody would try.
func obvious(password, email string) bool {
	words := strings.FieldsFunc(strings.ToLower(email), func(r rune) bool { return strings.ContainsRune("@.-_+", r) })
	words = append(words, strings.Fields(common)...)
	slices.SortFunc(words, func(a, b string) int { return len(b) - len(a) }) // a long word before the short one in it
	for _, word := range words {
		if len(word) >= 4 {
			password = strings.ReplaceAll(password, word, "")
		}
	}
	left := map[rune]bool{}
	for _, r := range password {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			left[r] = true
		}
	}
	return len(left) < 5
}
