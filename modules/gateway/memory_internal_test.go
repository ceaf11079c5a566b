package gateway

import (
	"bytes"
	"strings"
	"testing"
)

func TestSpace_isOfTheNextPowerOfTwo(t *testing.T) {
	t.Parallel()
	for size, want := range map[int64]int{0: 2 << 10, 1: 2 << 10, 2 << 10: 2 << 10, 2<<10 + 1: 4 << 10, 1 << 20: 1 << 20, 1<<20 + 1: 2 << 20, 1<<30 + 1: 2 << 30} {
		if got := smallSpace << sized(size); got != want {
			t.Errorf("%d bytes get %d, want %d", size, got, want)
		}
	}
}

func TestMoved_keepsTheTextAndHoldsItOnce(t *testing.T) {
	t.Parallel()
	x := &exchange{service: &Service{}}
	x.space(1) // a body, which stays where it is
	text := x.space(smallSpace)
	for range 3 {
		text = append(text, bytes.Repeat([]byte{'x'}, cap(text)-len(text))...)
		text = x.moved(text)
	}
	if len(text) != 4*smallSpace || cap(text) != 8*smallSpace || strings.Trim(string(text), "x") != "" || x.spaced != 2 {
		t.Errorf("%d of %d bytes in %d spaces", len(text), cap(text), x.spaced)
	}
	x.release()
	if x.spaced != 0 {
		t.Error("spaces are kept")
	}
}
