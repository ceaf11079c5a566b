package auth

import (
	"context"
	"encoding/base64"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/crypto/argon2"

	"github.com/inventiv-it-for-ai/inventiv/app/keyring"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth/internal/authdb"
)

// WeakHash returns a hash of a password with less than today's cost.
func WeakHash(password string) string {
	salt := []byte("0123456789abcdef")
	sum := argon2.IDKey([]byte(password), salt, 1, 8<<10, 1, 32)
	b64 := base64.RawStdEncoding.EncodeToString
	return "$argon2id$v=19$m=8192,t=1,p=1$" + b64(salt) + "$" + b64(sum)
}

// CheckPassword is checkPassword.
func CheckPassword(password, email string) error { return checkPassword(password, email) }

// Hashes returns how many password hashes were begun.
func Hashes(s *Service) int64 { return s.hashes.begun.Load() }

// NewAPIKey returns the text of a key that nobody has.
func NewAPIKey() string { text, _, _ := newKey(); return text }

// Rekey returns a well-formed key with the id of one and the secret of another.
func Rekey(secretOf, idOf string) string {
	id, _, _ := splitKey(idOf)
	_, secret, _ := splitKey(secretOf)
	return formatKey(id, secret)
}

// SetTrust changes for how long the table is believed without the database.
func (t *KeyTable) SetTrust(d time.Duration) { t.trust = d }

// FlushUse writes that a key was used at a time.
func FlushUse(ctx context.Context, t *KeyTable, text string, at time.Time) error {
	id, _, _ := splitKey(text)
	(*t.keys.Load())[id].use.at.Store(at.UnixMilli())
	_, err := t.saveUse(ctx)
	return err
}

// RevokeIn revokes a key in a transaction of the caller's.
func RevokeIn(ctx context.Context, tx pgx.Tx, key uuid.UUID) error {
	q := authdb.New(tx)
	change, err := q.BumpKeys(ctx)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE auth.api_keys SET revoked_at = now(), change = $2 WHERE id = $1`, key, change)
	return err
}

// TableOfOne returns a table without a database that holds one key.
func TableOfOne(dir string) (*KeyTable, string) {
	ring, err := keyring.Create(filepath.Join(dir, "master.key"))
	if err != nil {
		panic(err)
	}
	t := NewKeyTable(nil, ring, nil)
	text, id, secret := newKey()
	row := authdb.KeysSinceRow{ID: uuid.New(), PublicID: id, Scopes: []string{"inference"}, SecretMac: secretMAC(pepperOf(ring), secret)}
	t.keys.Store(&map[string]*apiKey{id: keyOf(row, nil)})
	t.good.Store(1)
	return t, text
}
