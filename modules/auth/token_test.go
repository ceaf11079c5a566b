package auth

import (
	"context"
	"strings"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

func TestSplitKey_readsWhatNewKeyMakes(t *testing.T) {
	t.Parallel()
	for range 100 {
		key, id, secret := newKey()
		gotID, gotSecret, ok := splitKey(key)
		if !ok || gotID != id || gotSecret != secret {
			t.Fatalf("splitKey(newKey()) = %v, want its parts", ok)
		}
		for i := range key { // one wrong character anywhere is found
			c := byte('0')
			if key[i] == c {
				c = '1'
			}
			if _, _, ok := splitKey(key[:i] + string(c) + key[i+1:]); ok && i >= len(keyPrefix) {
				t.Fatalf("a wrong character at %d is not found", i)
			}
		}
	}
}

func TestB02_malformedKeysAskNobody(t *testing.T) {
	t.Parallel()
	table := NewKeyTable(nil, []byte("pepper"), nil) // a nil pool: any query would panic
	key, _, _ := newKey()
	for _, s := range []string{
		"", "sk-", "sk-nonsense", key[:len(key)-1], key + "0", strings.ToUpper(key), " " + key, key + "\x00",
		strings.Repeat("sk-inv-", 1200), "sk-inv-'; DROP TABLE auth.api_keys; --" + key[38:], strings.Replace(key, "-inv-", "-🔑-", 1),
	} {
		_, err := table.Check(context.Background(), s)
		if f := fault.As(err); f == nil || f.Kind != "malformed_api_key" {
			t.Errorf("Check(%.20q…) = %v, want malformed_api_key", s, err)
		}
	}
	if n := testing.AllocsPerRun(100, func() { _, _, _ = splitKey(key) }); n != 0 {
		t.Errorf("splitKey allocates %v times, want 0", n)
	}
}

func FuzzSplitKey(f *testing.F) {
	key, _, _ := newKey()
	f.Add(key)
	f.Add("sk-inv-")
	f.Fuzz(func(t *testing.T, s string) {
		id, secret, ok := splitKey(s)
		if ok && s != keyPrefix+id+"-"+secret+checksum(keyPrefix+id+"-"+secret) {
			t.Errorf("splitKey(%q) accepts what it did not make", s)
		}
	})
}
