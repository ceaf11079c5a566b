package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"hash/crc32"
	"strings"
)

// API keys are "sk-inv-<id>-<secret><checksum>" in the digits of base62. The id
// is public and stable: it may stand in logs. The secret has 256 bits. The
// checksum is the CRC-32 of all before it, so that a scanner, or we, can tell a
// key from noise without asking anybody.
const (
	keyPrefix = "sk-inv-"
	idLen     = 10
	secretLen = 43
	sumLen    = 6
	bodyLen   = len(keyPrefix) + idLen + 1 + secretLen
	keyLen    = bodyLen + sumLen
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// newKey returns a new key and its parts.
func newKey() (key, id, secret string) {
	id, secret = random62(idLen), random62(secretLen)
	return formatKey(id, secret), id, secret
}

func formatKey(id, secret string) string {
	body := keyPrefix + id + "-" + secret
	var sum [sumLen]byte
	rest := checksum(body)
	for i := sumLen - 1; i >= 0; i-- {
		sum[i] = base62[rest%62]
		rest /= 62
	}
	return body + string(sum[:])
}

// splitKey returns the parts of a key, and false when s cannot be one of ours:
// wrong prefix, length, alphabet or checksum. It allocates nothing.
func splitKey(s string) (id, secret string, ok bool) {
	if len(s) != keyLen || !strings.HasPrefix(s, keyPrefix) || s[len(keyPrefix)+idLen] != '-' {
		return "", "", false
	}
	id, secret = s[len(keyPrefix):len(keyPrefix)+idLen], s[bodyLen-secretLen:bodyLen]
	if !is62(id) || !is62(secret) {
		return "", "", false
	}
	rest := checksum(s[:bodyLen])
	for i := keyLen - 1; i >= bodyLen; i-- {
		if s[i] != base62[rest%62] {
			return "", "", false
		}
		rest /= 62
	}
	return id, secret, true
}

// checksum is crc32.ChecksumIEEE of a string, without the copy that it needs.
func checksum(s string) uint32 {
	sum := ^uint32(0)
	for i := range len(s) {
		sum = crc32.IEEETable[byte(sum)^s[i]] ^ sum>>8
	}
	return ^sum
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

// random62 returns n random digits, each as likely as any other.
func random62(n int) string {
	digits := make([]byte, 0, n)
	var b [64]byte
	for len(digits) < n {
		rand.Read(b[:])
		for _, c := range b {
			if c < 4*62 && len(digits) < n { // the rest of 256 would favour low digits
				digits = append(digits, base62[c%62])
			}
		}
	}
	return string(digits)
}

// newToken returns 256 random bits for a cookie or a link, and the hash that is
// stored of them.
func newToken() (token string, hash []byte) {
	var b [32]byte
	rand.Read(b[:])
	token = base64.RawURLEncoding.EncodeToString(b[:])
	return token, tokenHash(token)
}

// tokenHash returns what is stored of a token. A plain hash is enough: there
// are too many tokens to try.
func tokenHash(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}
