package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"hash/crc32"
	"strings"
)

// API keys are "sk-inv-<id>-<secret><checksum>": the id is public and stable,
// the secret has 256 bits, the checksum is the CRC-32 of all before it, so that
// a scanner, or we, can tell a key from noise without asking anybody. The prefix
// and checksum follow the token format that GitHub described in 2021.
const (
	keyPrefix = "sk-inv-"
	idLen     = 10
	secretLen = 43
	sumLen    = 6
	keyLen    = len(keyPrefix) + idLen + 1 + secretLen + sumLen
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// newKey returns a new key and its parts.
func newKey() (key, id, secret string) {
	id, secret = random62(idLen), random62(secretLen)
	body := keyPrefix + id + "-" + secret
	return body + checksum(body), id, secret
}

// splitKey returns the parts of a key, and false when s cannot be one of ours:
// wrong prefix, length, alphabet or checksum. It allocates nothing.
func splitKey(s string) (id, secret string, ok bool) {
	if len(s) != keyLen || !strings.HasPrefix(s, keyPrefix) || s[len(keyPrefix)+idLen] != '-' {
		return "", "", false
	}
	id = s[len(keyPrefix) : len(keyPrefix)+idLen]
	secret = s[len(keyPrefix)+idLen+1 : keyLen-sumLen]
	if !is62(id) || !is62(secret) {
		return "", "", false
	}
	sum := crc32.NewIEEE().Sum32()
	for i := range keyLen - sumLen {
		sum = crc32.Update(sum, crc32.IEEETable, oneByte[s[i]][:])
	}
	for i := keyLen - 1; i >= keyLen-sumLen; i-- {
		if s[i] != base62[sum%62] {
			return "", "", false
		}
		sum /= 62
	}
	return id, secret, true
}

// oneByte holds every byte as a slice, to feed a string to the CRC without a copy.
var oneByte = func() (t [256][1]byte) { //nolint:gochecknoglobals // constant table
	for i := range t {
		t[i][0] = byte(i)
	}
	return t
}()

func checksum(s string) string {
	var out [sumLen]byte
	sum := crc32.ChecksumIEEE([]byte(s))
	for i := sumLen - 1; i >= 0; i-- {
		out[i] = base62[sum%62]
		sum /= 62
	}
	return string(out[:])
}

func is62(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// random62 returns n random digits, each of log2(62) bits.
func random62(n int) string {
	out := make([]byte, 0, n)
	var b [64]byte
	for len(out) < n {
		rand.Read(b[:]) // never fails: it ends the process instead
		for _, c := range b {
			if c < 248 && len(out) < n { // 248 = 4 × 62: no digit is likelier than another
				out = append(out, base62[c%62])
			}
		}
	}
	return string(out)
}

// macOf returns what is stored of a key's secret.
func macOf(pepper []byte, secret string) []byte {
	m := hmac.New(sha256.New, pepper)
	m.Write([]byte(secret))
	return m.Sum(nil)
}

// newToken returns a token of 256 bits for a cookie or a link, and its hash.
func newToken() (token string, hash []byte) {
	var b [32]byte
	rand.Read(b[:]) // never fails: it ends the process instead
	token = base64.RawURLEncoding.EncodeToString(b[:])
	return token, hashOf(token)
}

func hashOf(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}
