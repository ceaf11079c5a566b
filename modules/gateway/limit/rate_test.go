package limit_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/limit"
)

// What is taken while the rate changes is taken.
func TestRate_losesNothingWhileItChanges(t *testing.T) {
	t.Parallel()
	const full = 1_000_000
	var r limit.Rate
	r.Set(full, 0)
	var taken atomic.Int64
	var takers, changer sync.WaitGroup
	for range 4 {
		takers.Go(func() {
			for {
				if _, ok := r.Take(1, 0); !ok {
					return
				}
				taken.Add(1)
			}
		})
	}
	stop := make(chan struct{})
	changer.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				r.Set(full+float64(n%2), 0) // hardly, and so without a loss of what is in it
			}
		}
	})
	takers.Wait()
	close(stop)
	changer.Wait()
	if n := taken.Load(); n > full+full/1000 || n < full-full/1000 { // each change rounds
		t.Errorf("%d were taken of %d", n, full)
	}
}
