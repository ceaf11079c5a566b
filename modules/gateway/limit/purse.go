package limit

import (
	"sync/atomic"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
)

// Purse is the part of a budget that this process may spend in one period.
// What is in it was set aside for this process where the budget is kept, so no
// two processes spend the same euro. The zero Purse is empty and knows nothing
// of its budget.
//
// Money moves in one direction: free → held by a request in progress → owed
// once it was spent → gone when the spending is on record.
type Purse struct {
	Start, End time.Time // the period

	free, held, owed atomic.Int64 // nano-euros
	mine             atomic.Int64 // their sum: holding and settling do not change it
	wanted           atomic.Int64 // the greatest request that found too little, since Wanted
	used             atomic.Int64 // held since Used, for the purse's size
	balance          atomic.Pointer[Balance]
}

// believed is for how long a balance is good enough to refuse a request by.
const believed = 2 * time.Second

// Balance is how a budget stood when it was last looked at.
type Balance struct {
	Limit    money.EUR
	Spent    money.EUR // on record
	Reserved money.EUR // set aside for requests, or by other processes
	Free     money.EUR // what nobody has set aside
	At       time.Time // when it was looked at
}

// Hold sets cost aside for a request, if there is enough.
func (p *Purse) Hold(cost money.EUR) bool {
	for {
		free := p.free.Load()
		if free < int64(cost) || free <= 0 {
			p.want(int64(cost))
			return false
		}
		if p.free.CompareAndSwap(free, free-int64(cost)) {
			p.held.Add(int64(cost))
			p.used.Add(int64(cost))
			return true
		}
	}
}

func (p *Purse) want(cost int64) {
	for {
		wanted := p.wanted.Load()
		if cost <= wanted || p.wanted.CompareAndSwap(wanted, max(cost, 1)) {
			return
		}
	}
}

// Settle ends a hold: spent is what the request cost, which may be more.
func (p *Purse) Settle(held, spent money.EUR) {
	p.owed.Add(int64(spent))
	p.free.Add(int64(held - spent))
	p.held.Add(-int64(held))
}

// Mine returns what this process has set aside: free, held and owed.
func (p *Purse) Mine() money.EUR { return money.EUR(p.mine.Load()) }

// Free returns what may still be held.
func (p *Purse) Free() money.EUR { return money.EUR(p.free.Load()) }

// Held returns what requests in progress hold.
func (p *Purse) Held() money.EUR { return money.EUR(p.held.Load()) }

// Owed returns what was spent and is not on record yet.
func (p *Purse) Owed() money.EUR { return money.EUR(p.owed.Load()) }

// Recorded notes that so much of what was owed is on record.
func (p *Purse) Recorded(spent money.EUR) {
	p.owed.Add(-int64(spent))
	p.mine.Add(-int64(spent))
}

// Fill adds to what is free.
func (p *Purse) Fill(more money.EUR) {
	p.mine.Add(int64(more))
	p.free.Add(int64(more))
}

// Draw takes up to most out of what is free, and returns how much.
func (p *Purse) Draw(most money.EUR) money.EUR {
	for {
		free := p.free.Load()
		take := min(free, int64(most))
		if take <= 0 {
			return 0
		}
		if p.free.CompareAndSwap(free, free-take) {
			p.mine.Add(-take)
			return money.EUR(take)
		}
	}
}

// Wanted returns the greatest hold that found too little since it was last
// called.
func (p *Purse) Wanted() money.EUR { return money.EUR(p.wanted.Swap(0)) }

// Used returns how much was held since it was last called.
func (p *Purse) Used() money.EUR { return money.EUR(p.used.Swap(0)) }

// SetBalance notes how the budget stands.
func (p *Purse) SetBalance(b Balance) { p.balance.Store(&b) }

// Balance returns how the budget stood, with what requests of this process
// hold and owe now.
func (p *Purse) Balance() Balance {
	var b Balance
	if known := p.balance.Load(); known != nil {
		b = *known
	}
	b.Reserved += money.EUR(p.held.Load() + p.owed.Load())
	return b
}

// Short reports whether there may be enough for cost in the budget, though not
// in the purse.
func (p *Purse) Short(cost money.EUR) bool {
	b := p.balance.Load()
	return b == nil || time.Since(b.At) > believed || cost <= p.Free()+b.Free
}
