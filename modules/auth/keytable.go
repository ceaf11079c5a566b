package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/keyring"
	"github.com/inventiv-it-for-ai/inventiv/app/loop"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth/internal/authdb"
)

const (
	pollPeriod  = time.Second                       // a revocation is known after this, even when no event comes
	flushPeriod = 30 * time.Second                  // between two writes of last uses
	trustPeriod = 5 * time.Minute                   // how long keys are believed without the database
	readLimit   = 10 * time.Second                  // for one read of the table
	waitLimit   = pollPeriod + 500*time.Millisecond // for an unknown key: the pause before a read, and the read
)

// Principal is what a key that has been checked may act for.
type Principal struct {
	KeyID        uuid.UUID
	UserID       uuid.UUID // its owner; nil for a key that belongs to no member
	Organisation uuid.UUID
	Name         string    // of the key
	Scopes       Scopes    // what it was made for and its owner may still do
	Networks     *Networks // where it may be used from; nil: everywhere
}

// KeyTable holds every usable API key in memory, so that a request is let in
// without asking the database. Make it with NewKeyTable and keep Run running.
//
// A change reaches it by Wake, which somebody calls on an event of topic key,
// or else by the poll a second later. While the database is away it goes on
// with what it knows for five minutes after its last successful read, then
// refuses every key: it never fails open.
type KeyTable struct {
	db    *authdb.Queries
	log   *slog.Logger
	poll  *loop.Loop
	flush *loop.Loop
	macs  sync.Pool
	trust time.Duration
	start time.Time // what good is counted from, by the monotonic clock

	keys atomic.Pointer[map[string]*apiKey] // by public id; replaced, never changed
	good atomic.Int64                       // nanoseconds from start to the beginning of the last good read; 0: none yet

	reading sync.Mutex // held by the read in progress
	seen    int64      // version of the table in memory

	mu    sync.Mutex
	next  *round    // the read that unknown keys wait for; nil when none does
	asked time.Time // when the last such read began
}

// round is one read of the table that requests wait for together.
type round struct {
	done chan struct{}
	err  error // once done is closed
}

// apiKey is one key as checked. Only its use changes.
type apiKey struct {
	principal Principal
	mac       [sha256.Size]byte
	expires   time.Time // zero: never
	revoked   bool
	suspended bool // its owner is no longer a member, or is disabled
	use       *keyUse
}

// keyUse outlives the apiKey that it belongs to: a new version of a key keeps it.
type keyUse struct {
	at    atomic.Int64 // Unix milliseconds of the last use
	saved int64        // what was last written; guarded by the flush loop being one
}

// NewKeyTable returns an empty table; the first Check or Run fills it.
func NewKeyTable(pool *pgxpool.Pool, ring *keyring.Ring, log *slog.Logger) *KeyTable {
	pepper := pepperOf(ring)
	t := &KeyTable{db: authdb.New(pool), log: log, trust: trustPeriod, start: time.Now(), seen: -1}
	t.keys.Store(&map[string]*apiKey{})
	t.macs.New = func() any { return &macState{mac: hmac.New(sha256.New, pepper)} }
	t.poll = loop.New("api keys", pollPeriod, log, t.read)
	t.flush = loop.New("api key use", flushPeriod, log, t.saveUse)
	return t
}

// Run keeps the table current until ctx ends, and writes the last uses before
// it returns.
func (t *KeyTable) Run(ctx context.Context) {
	var loops sync.WaitGroup
	for _, l := range t.Loops() {
		loops.Go(func() { l.Run(ctx) })
	}
	loops.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readLimit)
	defer cancel()
	if _, err := t.saveUse(ctx); err != nil {
		t.log.WarnContext(ctx, "last use of api keys not written", "err", err)
	}
}

// Loops returns the table's loops, for the operator's page. Run runs them.
func (t *KeyTable) Loops() []*loop.Loop { return []*loop.Loop{t.poll, t.flush} }

// Wake asks for a look at what has changed. It never blocks.
func (t *KeyTable) Wake() { t.poll.Wake() }

// The refusals of a key. An unknown id and a wrong secret look the same.
var (
	errMalformedKey = fault.New(fault.Signin, "This is not an API key of this service: its form or its checksum is wrong.").
			WithFix("Copy the whole key again; it begins with sk-inv- and has 67 characters.").WithKind("malformed_api_key")
	errInvalidKey = fault.New(fault.Signin, "This API key is not known here.").
			WithFix("Check that the key belongs to this installation, or make a new one.").WithKind("invalid_api_key")
	errRevokedKey = fault.New(fault.Signin, "This API key was revoked.").
			WithFix("Make a new key.").WithKind("key_revoked")
	errSuspendedKey = fault.New(fault.Denied, "This API key is suspended: its owner is no longer a member of the organisation.").
			WithFix("Use a key of somebody who is.").WithKind("key_disabled")
	errKeysAway = fault.New(fault.Unavailable, "API keys cannot be checked at this moment.").
			WithFix("Try again in a few seconds.").WithKind("auth_unavailable")
	errKeysTooOld = fault.New(fault.Unavailable, "API keys cannot be checked: the database has been away for more than five minutes.").
			WithFix("Try again later; requests work again as soon as it is back.").WithKind("auth_unavailable")
)

// Check returns whom the key acts for. It allocates nothing for a good key,
// takes the same time whatever part of a secret is wrong, and notes the use.
//
// It fails with fault.Signin for a key that is malformed_api_key (nothing but
// its form was looked at), invalid_api_key, key_revoked or key_expired, with
// fault.Denied for one that is key_disabled, and with fault.Unavailable,
// auth_unavailable, when nobody can tell. A well-formed id that is not in the
// table makes it read the table once more, together with all others that wait
// and at most once a second; no caller waits for longer than that and the read.
func (t *KeyTable) Check(ctx context.Context, token string) (Principal, error) {
	id, secret, ok := splitKey(token)
	if !ok {
		return Principal{}, errMalformedKey
	}
	now := time.Now()
	k := (*t.keys.Load())[id]
	if k == nil || t.age(now) > t.trust {
		if err := t.await(ctx); err != nil {
			if t.good.Load() != 0 && t.age(now) > t.trust {
				return Principal{}, errKeysTooOld.WithCause(err)
			}
			return Principal{}, err
		}
		k = (*t.keys.Load())[id]
	}
	switch {
	case !t.matches(k, secret):
		return Principal{}, errInvalidKey
	case k.revoked:
		return Principal{}, errRevokedKey
	case k.suspended:
		return Principal{}, errSuspendedKey
	case !k.expires.IsZero() && !now.Before(k.expires):
		return Principal{}, fault.Newf(fault.Signin, "This API key expired on %s.", k.expires.UTC().Format(time.RFC1123)).
			WithFix("Make a new key.").WithKind("key_expired")
	}
	if ms := now.UnixMilli(); ms-k.use.at.Load() >= 1000 { // one write a second, not one a request
		k.use.at.Store(ms)
	}
	return k.principal, nil
}

// Revoked reports whether a key that Check was content with has been revoked
// since. It waits for nothing.
func (t *KeyTable) Revoked(token string) bool {
	id, _, _ := splitKey(token)
	k := (*t.keys.Load())[id]
	return k != nil && k.revoked
}

// age returns for how long the table has not been confirmed.
func (t *KeyTable) age(now time.Time) time.Duration {
	good := t.good.Load()
	if good == 0 {
		return trustPeriod * 2
	}
	return now.Sub(t.start) - time.Duration(good)
}

// await waits until the table has been read by a read that began after the
// call, so that a key committed before the request is found. Callers share
// reads, of which one may begin each second.
func (t *KeyTable) await(ctx context.Context) error {
	began := time.Since(t.start)
	t.mu.Lock()
	r := t.next
	if r == nil {
		r = &round{done: make(chan struct{})}
		t.next = r
		pause := time.Until(t.asked.Add(pollPeriod))
		go t.run(context.WithoutCancel(ctx), r, pause)
	}
	t.mu.Unlock()

	limit := time.NewTimer(waitLimit)
	defer limit.Stop()
	select {
	case <-r.done:
		if r.err != nil {
			return errKeysAway.WithCause(r.err)
		}
		return nil
	case <-ctx.Done():
		return errKeysAway.WithCause(ctx.Err())
	case <-limit.C:
		if time.Duration(t.good.Load()) < began { // not even the poll has looked meanwhile
			return errKeysAway
		}
		return nil
	}
}

// run makes round r after a pause.
func (t *KeyTable) run(ctx context.Context, r *round, pause time.Duration) {
	if pause > 0 {
		<-time.After(pause)
	}
	t.mu.Lock()
	t.next, t.asked = nil, time.Now() // who comes from here on needs a later read
	t.mu.Unlock()
	_, r.err = t.read(ctx)
	close(r.done)
}

// read brings the table up to date and returns how many keys changed.
func (t *KeyTable) read(ctx context.Context) (int, error) {
	t.reading.Lock()
	defer t.reading.Unlock()
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()

	begun := time.Since(t.start)
	version, err := t.db.KeyVersion(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the version of the keys: %w", err)
	}
	changed := 0
	if version != t.seen {
		// Versions become visible in their order (see migration 1), so nothing up
		// to version can appear later. A lower one than before is a database
		// restored from a backup: everything is read again.
		keys := map[string]*apiKey{}
		since := int64(-1)
		if version > t.seen {
			keys, since = maps.Clone(*t.keys.Load()), t.seen
		}
		rows, err := t.db.KeysSince(ctx, since)
		if err != nil {
			return 0, fmt.Errorf("read the changed keys: %w", err)
		}
		for _, row := range rows {
			keys[row.PublicID] = keyOf(row, keys[row.PublicID])
		}
		t.keys.Store(&keys)
		t.seen, changed = version, len(rows)
	}
	t.good.Store(int64(max(begun, 1)))
	return changed, nil
}

// keyOf returns the key of a row; old is its version before, or nil.
func keyOf(row authdb.KeysSinceRow, old *apiKey) *apiKey {
	k := &apiKey{
		principal: Principal{
			KeyID: row.ID, Organisation: row.OrganisationID, Name: row.Name, Scopes: scopesNamed(row.Scopes),
		},
		revoked: row.RevokedAt != nil,
		use:     &keyUse{},
	}
	copy(k.mac[:], row.SecretMac)
	if old != nil {
		k.use = old.use
	}
	if row.ExpiresAt != nil {
		k.expires = *row.ExpiresAt
	}
	if row.UserID != nil {
		k.principal.UserID = *row.UserID
		k.suspended = row.Role == nil || row.DisabledAt != nil
		if row.Role != nil && !Role(*row.Role).Can(InferenceUse) {
			k.principal.Scopes &^= ScopeInference
		}
	}
	if networks := networksOf(row.Networks); len(networks) > 0 {
		k.principal.Networks = &networks
	}
	return k
}

// saveUse writes when keys were last used and returns how many it wrote.
func (t *KeyTable) saveUse(ctx context.Context) (int, error) {
	var uses []*keyUse
	var arg authdb.TouchKeysParams
	for _, k := range *t.keys.Load() {
		if at := k.use.at.Load(); at > k.use.saved {
			uses = append(uses, k.use)
			arg.Ids = append(arg.Ids, k.principal.KeyID)
			arg.Ats = append(arg.Ats, time.UnixMilli(at))
		}
	}
	if len(uses) == 0 {
		return 0, nil
	}
	if err := t.db.TouchKeys(ctx, arg); err != nil {
		return 0, fmt.Errorf("write the last use of %d keys: %w", len(uses), err)
	}
	for i, u := range uses {
		u.saved = arg.Ats[i].UnixMilli()
	}
	return len(uses), nil
}

// macState is what one check needs, kept for the next one.
type macState struct {
	mac hash.Hash
	in  [secretLen]byte
	out [sha256.Size]byte
}

// matches reports whether secret is k's. It takes as long without a k.
func (t *KeyTable) matches(k *apiKey, secret string) bool {
	s, _ := t.macs.Get().(*macState) // the pool holds nothing else
	defer t.macs.Put(s)
	s.mac.Reset()
	copy(s.in[:], secret)
	s.mac.Write(s.in[:])
	sum := s.mac.Sum(s.out[:0])
	var want [sha256.Size]byte
	if k != nil {
		want = k.mac
	}
	return hmac.Equal(sum, want[:]) && k != nil
}

// pepperOf returns the key of the MAC under which secrets are stored. It is not
// in the database: who can write there cannot mint keys.
func pepperOf(ring *keyring.Ring) []byte { return ring.Derive("api-key-pepper") }

// secretMAC returns what is stored of a key's secret.
func secretMAC(pepper []byte, secret string) []byte {
	m := hmac.New(sha256.New, pepper)
	m.Write([]byte(secret))
	return m.Sum(nil)
}
