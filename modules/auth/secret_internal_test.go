package auth

import (
	"hash/crc32"
	"testing"
)

func TestSplitKey_readsWhatNewKeyMakes(t *testing.T) {
	t.Parallel()
	for range 100 {
		key, id, secret := newKey()
		gotID, gotSecret, ok := splitKey(key)
		if !ok || gotID != id || gotSecret != secret {
			t.Fatal("splitKey refuses what newKey made")
		}
	}
}

func TestSplitKey_findsOneWrongCharacterAnywhere(t *testing.T) {
	t.Parallel()
	key, _, _ := newKey()
	for i := range len(key) {
		wrong := byte('0')
		if key[i] == wrong {
			wrong = '1'
		}
		if _, _, ok := splitKey(key[:i] + string(wrong) + key[i+1:]); ok {
			t.Errorf("a wrong character at %d is not found", i)
		}
	}
}

func TestChecksum_isCRC32(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "a", "sk-inv-0123456789-", "The quick brown fox"} {
		if got, want := checksum(s), crc32.ChecksumIEEE([]byte(s)); got != want {
			t.Errorf("checksum(%q) = %08x, want %08x", s, got, want)
		}
	}
}

func FuzzSplitKey(f *testing.F) {
	key, _, _ := newKey()
	f.Add(key)
	f.Add("sk-inv-")
	f.Add(key[:len(key)-1] + "\x00")
	f.Fuzz(func(t *testing.T, s string) {
		id, secret, ok := splitKey(s)
		if ok && (len(s) != keyLen || s[:bodyLen] != keyPrefix+id+"-"+secret || !is62(s[bodyLen:])) {
			t.Errorf("splitKey(%q) accepts what newKey cannot have made", s)
		}
	})
}
