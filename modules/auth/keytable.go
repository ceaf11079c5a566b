package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"hash"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth/internal/authdb"
)

// Scope is what a key may be used for.
type Scope string

// The scopes.
const (
	ScopeInference Scope = "inference" // /v1
	ScopeAdmin     Scope = "admin"     // /api/v1, with what its owner may do
)

// trustFor is how long known keys stay good while the database is away.
const trustFor = 5 * time.Minute

// Principal is whose request a key makes it. Principals are shared: read only.
type Principal struct {
	KeyID, UserID, Organisation uuid.UUID // UserID is nil for a key without an owner
	Name                        string
	Scopes                      []Scope
	Role                        Role // the owner's now
	PlatformAdmin               bool

	mac       []byte
	expiresAt time.Time // zero: never
	revoked   bool
	orphaned  bool // its owner left
	used      atomic.Int64
}

// Allows reports whether the key has the scope.
func (p *Principal) Allows(s Scope) bool { return slices.Contains(p.Scopes, s) }

// Actor returns the actor of a request made with the key.
func (p *Principal) Actor() Actor {
	role := p.Role
	if p.UserID == uuid.Nil {
		role = Admin
	}
	return Actor{
		UserID: p.UserID, KeyID: p.KeyID, Organisation: p.Organisation, Name: p.Name, Role: role, PlatformAdmin: p.PlatformAdmin,
	}
}

// KeyTable holds every usable API key in memory, so that checking one asks
// nobody. Run keeps it true: a revocation is known within about a second while
// the database answers. When it does not, known keys stay good for five minutes
// and unknown ones cannot be judged.
type KeyTable struct {
	db     *authdb.Queries
	pepper []byte
	log    *slog.Logger
	macs   sync.Pool

	keys     atomic.Pointer[map[string]*Principal] // by public id
	readAt   atomic.Int64                          // unix nanoseconds of the last good look at the database
	refresh  chan struct{}                         // asks for a look now
	mu       sync.Mutex
	version  string
	looked   chan struct{} // closed and replaced after each look
	lastLook time.Time
}

// NewKeyTable returns an empty table. Load fills it; Run keeps it true.
func NewKeyTable(pool *pgxpool.Pool, pepper []byte, log *slog.Logger) *KeyTable {
	t := &KeyTable{
		db: authdb.New(pool), pepper: pepper, log: log,
		refresh: make(chan struct{}, 1), looked: make(chan struct{}),
	}
	t.macs.New = func() any { return &macState{h: hmac.New(sha256.New, pepper)} }
	t.keys.Store(&map[string]*Principal{})
	return t
}

// macState is what one HMAC needs, reused.
type macState struct {
	h   hash.Hash
	in  [secretLen]byte
	sum [sha256.Size]byte
}

// Check returns the principal of an API key. It fails with fault.Signin and one
// of the kinds malformed_api_key, invalid_api_key, key_revoked, key_expired, or
// with fault.Unavailable (auth_unavailable) when that cannot be known now. A
// malformed key asks nobody; a well-formed unknown one asks the database at
// most once a second, together with all others.
func (t *KeyTable) Check(ctx context.Context, token string) (*Principal, error) {
	id, secret, ok := splitKey(token)
	if !ok {
		return nil, errMalformed
	}
	p, ok := (*t.keys.Load())[id]
	if !ok {
		if err := t.lookAgain(ctx); err != nil {
			return nil, err
		}
		if p, ok = (*t.keys.Load())[id]; !ok {
			return nil, errUnknown
		}
	}
	if !t.matches(p, secret) {
		return nil, errUnknown
	}
	now := time.Now()
	if now.UnixNano()-t.readAt.Load() > int64(trustFor) {
		return nil, errUnavailable
	}
	switch {
	case p.revoked || p.orphaned:
		return nil, errRevoked
	case !p.expiresAt.IsZero() && now.After(p.expiresAt):
		return nil, errExpired
	}
	p.used.Store(now.UnixNano())
	return p, nil
}

var ( //nolint:gochecknoglobals // constant faults, shared so that a flood of bad keys allocates nothing
	errMalformed = fault.New(fault.Signin, "This is not an API key of this service: its form or its checksum is wrong.").
			WithFix("Send Authorization: Bearer sk-inv-… exactly as it was shown when the key was made.").WithKind("malformed_api_key")
	errUnknown = fault.New(fault.Signin, "This API key is not known here.").
			WithFix("Make a new one in the console under API keys.").WithKind("invalid_api_key")
	errRevoked = fault.New(fault.Signin, "This API key was revoked.").
			WithFix("Make a new one in the console under API keys.").WithKind("key_revoked")
	errExpired = fault.New(fault.Signin, "This API key has expired.").
			WithFix("Make a new one in the console under API keys.").WithKind("key_expired")
	errUnavailable = fault.New(fault.Unavailable, "API keys cannot be checked at the moment: the database does not answer.").
			WithFix("Try again in a few seconds.").WithKind("auth_unavailable")
)

// matches compares in constant time and allocates nothing.
func (t *KeyTable) matches(p *Principal, secret string) bool {
	m, _ := t.macs.Get().(*macState)
	defer t.macs.Put(m)
	m.h.Reset()
	copy(m.in[:], secret)
	m.h.Write(m.in[:])
	return subtle.ConstantTimeCompare(m.h.Sum(m.sum[:0]), p.mac) == 1
}

// lookAgain waits up to a second for a look at the database that began less
// than a second ago or begins now.
func (t *KeyTable) lookAgain(ctx context.Context) error {
	t.mu.Lock()
	looked, fresh := t.looked, time.Since(t.lastLook) < time.Second
	t.mu.Unlock()
	if !fresh {
		select {
		case t.refresh <- struct{}{}:
		default:
		}
		limit := time.NewTimer(time.Second)
		defer limit.Stop()
		select {
		case <-looked:
		case <-limit.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for the API keys: %w", ctx.Err())
		}
	}
	if time.Now().UnixNano()-t.readAt.Load() > int64(3*time.Second) {
		return errUnavailable
	}
	return nil
}

// Wake asks for a look at the database soon.
func (t *KeyTable) Wake() {
	select {
	case t.refresh <- struct{}{}:
	default:
	}
}

// Run keeps the table true until ctx ends: it looks once a second, and at once
// when it is woken. It also writes, every half minute, when keys were last used.
func (t *KeyTable) Run(ctx context.Context) {
	tick, touch := time.NewTicker(time.Second), time.NewTicker(30*time.Second)
	defer tick.Stop()
	defer touch.Stop()
	failed := false
	for {
		err := t.Load(ctx)
		if err != nil && !failed && ctx.Err() == nil {
			t.log.ErrorContext(ctx, "api keys not read", "err", err)
		}
		failed = err != nil
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			t.touch(last)
			return
		case <-touch.C:
			t.touch(ctx)
		case <-tick.C:
		case <-t.refresh:
		}
	}
}

// Load looks at the database once and reads the keys again when any changed.
func (t *KeyTable) Load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	begun := time.Now()
	err := t.load(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lastLook = time.Now()
	if err == nil {
		t.readAt.Store(begun.UnixNano())
	}
	close(t.looked)
	t.looked = make(chan struct{})
	return err
}

func (t *KeyTable) load(ctx context.Context) error {
	version, err := t.db.KeyVersion(ctx)
	if err != nil {
		return fmt.Errorf("read the version of the API keys: %w", err)
	}
	if version == t.version {
		return nil
	}
	rows, err := t.db.LoadKeys(ctx)
	if err != nil {
		return fmt.Errorf("read the API keys: %w", err)
	}
	old, keys := *t.keys.Load(), make(map[string]*Principal, len(rows))
	for _, r := range rows {
		p := &Principal{
			KeyID: r.ID, Organisation: r.OrganisationID, Name: r.Name, Role: Role(r.OwnerRole), PlatformAdmin: r.PlatformAdmin,
			mac: r.SecretMac, revoked: r.RevokedAt != nil, orphaned: r.Orphaned,
		}
		if r.UserID != nil {
			p.UserID = *r.UserID
		}
		if r.ExpiresAt != nil {
			p.expiresAt = *r.ExpiresAt
		}
		for _, s := range r.Scopes {
			p.Scopes = append(p.Scopes, Scope(s))
		}
		if before := old[r.PublicID]; before != nil {
			p.used.Store(before.used.Load())
		}
		keys[r.PublicID] = p
	}
	t.keys.Store(&keys)
	t.version = version
	return nil
}

// touch writes when keys were last used since the last time.
func (t *KeyTable) touch(ctx context.Context) {
	var ids []uuid.UUID
	var ats []time.Time
	for _, p := range *t.keys.Load() {
		if at := p.used.Swap(0); at != 0 {
			ids, ats = append(ids, p.KeyID), append(ats, time.Unix(0, at))
		}
	}
	if len(ids) == 0 {
		return
	}
	if err := t.db.TouchKeys(ctx, authdb.TouchKeysParams{Ids: ids, Ats: ats}); err != nil {
		t.log.WarnContext(ctx, "last use of api keys not written", "err", err)
	}
}
