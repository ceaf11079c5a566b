package gateway

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
)

const useEvery = 30 * time.Second

// noteUse tells, every half minute, which instances have had requests since or
// have one now: one that nobody uses may be put to sleep. What fails is told the
// next time.
func (s *Service) noteUse(ctx context.Context) error {
	if time.Since(s.noted) < useEvery {
		return nil
	}
	for id, t := range s.table.Load().targets {
		if !t.endpoint && t.replica.InFlight() > 0 {
			s.used[id] = true
		}
	}
	s.noted = time.Now()
	if len(s.used) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := s.instances.Used(ctx, slices.AppendSeq(make([]uuid.UUID, 0, len(s.used)), maps.Keys(s.used))); err != nil {
		return fmt.Errorf("tell which instances are used: %w", err)
	}
	clear(s.used)
	return nil
}
