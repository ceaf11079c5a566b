package spool

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// some returns records as they stand in a segment, each with its bytes.
func some(r *rand.Rand, n int) (records []Record, frames [][]byte) {
	for range n {
		rec := Record{
			Status: Status(r.IntN(3)), RequestID: uuid.New(), StartedAt: time.Unix(0, r.Int64()).UTC(), Model: strings.Repeat(mark, r.IntN(100)),
			Path: "/v1/completions", PromptTokens: r.Int64(), CompletionTokens: -r.Int64(), Error: "upstream_lost",
			Asked: strings.Repeat("a", r.IntN(2)), Retried: r.IntN(2) == 0,
		}
		records = append(records, rec)
		frames = append(frames, frame(nil, &rec))
	}
	return records, frames
}

// TestF30_damageCostsOnlyWhatItHits flips bits and cuts, at random places with a
// seed: each record that was not hit is read as it was, nothing else is read,
// and every lost byte is counted.
func TestF30_damageCostsOnlyWhatItHits(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 30))
		records, frames := some(r, 40)
		hit := map[int]bool{}
		for range r.IntN(6) {
			i := r.IntN(len(frames))
			if !hit[i] {
				frames[i][r.IntN(len(frames[i]))] ^= 1 << r.IntN(8)
			}
			hit[i] = true
		}
		if last := len(frames) - 1; r.IntN(2) == 0 {
			frames[last] = frames[last][:r.IntN(len(frames[last]))]
			hit[last] = true
		}
		var want, got []Record
		lost := 0
		for i := range frames {
			if hit[i] {
				lost += len(frames[i])
			} else {
				want = append(want, records[i])
			}
		}
		segment := slices.Concat(frames...)
		used, bad, room := scan(segment, false, func(rec *Record) bool { got = append(got, *rec); return true })
		if !slices.Equal(want, got) || used != len(segment) || bad+room != lost {
			t.Fatalf("seed %d: %d of %d records, %d of %d bytes used, %d bad and %d zeros at the end of %d that were hit", seed, len(got), len(want), used, len(segment), bad, room, lost)
		}
	}
}

// TestScan_inPieces reads a damaged segment through a window: what a window's
// end cuts off, in a record or in the damage, is read with the next one.
func TestScan_inPieces(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 31))
		_, frames := some(r, 2000)
		for range 50 {
			i := r.IntN(len(frames))
			frames[i] = frames[i][r.IntN(len(frames[i])):]
		}
		segment := slices.Concat(frames...)
		var want, got []Record
		_, wantBad, _ := scan(segment, false, func(rec *Record) bool { want = append(want, *rec); return true })
		bad := 0
		for rest := segment; len(rest) > 0; {
			window := rest[:min(len(rest), maxFrame+r.IntN(maxFrame))]
			used, n, _ := scan(window, len(window) < len(rest), func(rec *Record) bool { got = append(got, *rec); return r.IntN(50) > 0 })
			if used == 0 {
				t.Fatalf("seed %d: no progress", seed)
			}
			rest, bad = rest[used:], bad+n
		}
		if !slices.Equal(want, got) || bad != wantBad {
			t.Fatalf("seed %d: %d of %d records, %d bad bytes of %d", seed, len(got), len(want), bad, wantBad)
		}
	}
}

// A record that asks for no other model is written as it was before there was
// Asked: releases that do not know it can read it, and what they wrote is read.
func TestDecode_readsBothVersions(t *testing.T) {
	t.Parallel()
	for version, asked := range map[byte]string{1: "", 2: "fast"} {
		want := Record{Status: Completed, RequestID: uuid.New(), StartedAt: time.Unix(0, 7).UTC(), Model: "m", Path: "/v1/x", Error: "e", Asked: asked}
		payload := want.encode(nil)
		got := Record{Asked: "of the record before", Retried: true}
		if err := got.decode(payload); err != nil || got != want || payload[0] != version {
			t.Errorf("version %d: %+v, %v; want version %d and %+v", payload[0], got, err, version, want)
		}
		other := append([]byte{3 - version}, payload[1:]...)
		if got.decode(other) == nil {
			t.Errorf("version %d is read as %d", version, other[0])
		}
		if payload[2] > 3 {
			t.Errorf("the flags are %b, which older releases do not know", payload[2])
		}
	}
}

// FuzzScan reads bytes as a segment: whatever they are, all are used or counted,
// and each record is read again as it was once it is written.
func FuzzScan(f *testing.F) {
	_, frames := some(rand.New(rand.NewPCG(1, 1)), 3)
	f.Add(slices.Concat(frames...))
	f.Add(slices.Concat(frames[0], frames[1][:20], frames[2]))
	f.Add([]byte(mark + "\xff\xff\x00\x00"))
	f.Add(append(frames[0], make([]byte, 100)...))
	f.Fuzz(func(t *testing.T, text []byte) {
		var read []Record
		var written []byte
		used, bad, room := scan(text, false, func(r *Record) bool {
			read = append(read, *r)
			written = frame(written, r)
			return true
		})
		if used != len(text) || bad < 0 || bad > len(text) || len(read) == 0 && bad+room != len(text) {
			t.Fatalf("%d of %d bytes used, %d bad, %d set aside, %d records", used, len(text), bad, room, len(read))
		}
		var again []Record
		if _, bad, _ := scan(written, false, func(r *Record) bool { again = append(again, *r); return true }); bad != 0 {
			t.Errorf("%d bad bytes in what was written", bad)
		}
		if !slices.Equal(read, again) {
			t.Errorf("%d records, written and read again they are others", len(read))
		}
	})
}

// FuzzDecode reads bytes as a record behind its checksum.
func FuzzDecode(f *testing.F) {
	records, _ := some(rand.New(rand.NewPCG(2, 2)), 3)
	for i := range records {
		f.Add(records[i].encode(nil))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		var r, again Record
		if r.decode(payload) != nil {
			return
		}
		if err := again.decode(r.encode(nil)); err != nil || again != r {
			t.Errorf("%+v is %+v when it was written and read, %v", r, again, err)
		}
	})
}
