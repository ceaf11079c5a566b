package balance

import (
	"encoding/binary"
	"math/bits"
)

// Odd constants with well mixed bits, those of wyhash.
const (
	k0 = 0xa0761d6478bd642f
	k1 = 0xe7037ed1a0b428db
	k2 = 0x8ebc6af09c88c6e3
)

// Key returns what stands for text when replicas are chosen: the same in every
// process, and never 0, which means no key. It is no secret and withstands no
// attack: who finds two texts with one key gains one replica for both.
func Key(text []byte) uint64 {
	h := uint64(len(text)) ^ k2
	for ; len(text) >= 8; text = text[8:] {
		h = mix(h^binary.LittleEndian.Uint64(text), k0)
	}
	var rest [8]byte
	copy(rest[:], text)
	if h = mix(h^binary.LittleEndian.Uint64(rest[:]), k1); h == 0 {
		return k0
	}
	return h
}

// mix folds the 128 bits of a product, which depend on all bits of both.
func mix(a, b uint64) uint64 {
	high, low := bits.Mul64(a^k1, b^k2)
	return high ^ low
}

// prefixBytes is how much of a prompt makes its key. What is shorter is not
// worth a detour: engines prefill these 250 tokens in a few milliseconds.
const prefixBytes = 1024

// PromptKey returns the key of a prompt as its client wrote it, made of what it
// begins with; 0 if it is too short.
func PromptKey(prompt []byte) uint64 {
	if len(prompt) < prefixBytes {
		return 0
	}
	return Key(prompt[:prefixBytes])
}
