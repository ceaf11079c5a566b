package limit

import "sync/atomic"

// Slots bound how many requests are in progress at once.
type Slots struct {
	most, busy, peak atomic.Int64
}

// Set changes how many there may be; those in progress stay.
func (s *Slots) Set(most int64) { s.most.Store(most) }

// Most returns how many there may be.
func (s *Slots) Most() int64 { return s.most.Load() }

// Enter takes a slot if one is free.
func (s *Slots) Enter() bool {
	for {
		busy := s.busy.Load()
		if peak := s.peak.Load(); busy >= peak {
			s.peak.CompareAndSwap(peak, busy+1)
		}
		if busy >= s.most.Load() {
			return false
		}
		if s.busy.CompareAndSwap(busy, busy+1) {
			return true
		}
	}
}

// Leave gives a slot back.
func (s *Slots) Leave() { s.busy.Add(-1) }

// Busy returns how many slots are taken.
func (s *Slots) Busy() int64 { return s.busy.Load() }

// Peak returns how many slots would have been used at once since it was last
// called.
func (s *Slots) Peak() int64 { return s.peak.Swap(s.busy.Load()) }
