package auth

import (
	"encoding/base64"
	"time"

	"golang.org/x/crypto/argon2"
)

// WeakHash returns a hash of a password with less than today's cost.
func WeakHash(password string) string {
	salt := []byte("0123456789abcdef")
	sum := argon2.IDKey([]byte(password), salt, 1, 8<<10, 1, 32)
	b64 := base64.RawStdEncoding.EncodeToString
	return "$argon2id$v=19$m=8192,t=1,p=1$" + b64(salt) + "$" + b64(sum)
}

// SetTrust changes for how long the table is believed without the database.
func (t *KeyTable) SetTrust(d time.Duration) { t.trust = d }

// CheckPassword is checkPassword.
func CheckPassword(password, email string) error { return checkPassword(password, email) }

// NewAPIKey returns the text of a key that nobody has.
func NewAPIKey() string { text, _, _ := newKey(); return text }
