package gateway

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/internal/gatewaydb"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/limit"
)

// How limits are shared by replicas. Of a rate or of concurrency one half is
// split evenly over the replicas there are, without a lease, so that each can
// let requests in at once; the other half is leased by demand. The parts never
// add up to more than the limit, but for these moments: a replica has a part
// that lets through one request at least; one that has just come or gone is
// known to the others a second later; and one that is cut off from the database
// goes on with its part, which others may lease after 15 s.
//
// Of a budget everything is leased, in small amounts, before it is spent: the
// leases and what was spent never add up to more than the budget.
const (
	whole      = 1_000_000 // a limit, in the unit of leases
	leasable   = whole / 2
	asRequests = "requests"
	asTokens   = "tokens"
	asSlots    = "concurrency"
	asBudget   = "budget"
)

type leaseKey struct {
	limit.Subject

	what string
}

// lease is what this process has of a limit that it shares.
type lease struct {
	demand float64 // in parts of the limit, of late
	amount int64   // in millionths of it
	wanted int64   // demand as the others know it
}

// want is what one pass wants to change about a lease.
type want struct {
	key    leaseKey
	gate   *limit.Gate
	lease  *lease // of a rate or of concurrency
	wanted int64
	amount int64 // what is written

	purse   *limit.Purse // of a budget
	need    money.EUR    // what it should have free
	mine    money.EUR    // what it had set aside before anybody looked at what was spent
	fill    money.EUR    // what is put into it
	balance limit.Balance
}

// lease brings what this process has of each limit up to what it needs.
func (a *admission) lease(ctx context.Context) error {
	gates := a.gates.Load()
	if gates == nil {
		return nil
	}
	now := time.Now()
	var wants []want
	for _, g := range gates.all {
		wants = a.rates(wants, g)
		if w, ok := a.purse(g, now); ok {
			wants = append(wants, w)
		}
	}
	var err error
	if len(wants) > 0 {
		err = db.InTx(ctx, a.pool, func(tx pgx.Tx) error { return a.agree(ctx, gatewaydb.New(tx), wants) })
	}
	if err == nil {
		for i := range wants {
			wants[i].apply()
		}
	} else {
		err = fmt.Errorf("lease limits: %w", err)
	}
	for _, g := range gates.all { // also when only the number of replicas has changed
		a.settle(g)
	}
	return err
}

// rates notes the demand on a gate's rates and adds the leases that it calls
// for. A replica that is alone needs none, nor does one with little to do.
func (a *admission) rates(wants []want, g *limit.Gate) []want {
	for _, m := range [...]struct {
		what         string
		limit, asked int64
	}{
		{asRequests, g.RequestsPerMinute, 60 * g.Requests.Asked()}, // a pass is a second
		{asTokens, g.TokensPerMinute, 60 * g.Tokens.Asked()},
		{asSlots, g.Concurrency, g.Slots.Peak()},
	} {
		key := leaseKey{g.Subject, m.what}
		l := a.leases[key]
		if m.limit == 0 || l == nil && (a.others == 0 || m.asked == 0) {
			continue
		}
		if l == nil {
			l = &lease{}
			a.leases[key] = l
		}
		l.demand += (float64(m.asked)/float64(m.limit) - l.demand) / 8
		wanted := int64(min(l.demand, 1000) * whole)
		if even := int64(leasable / (1 + a.others)); a.others == 0 || wanted < even*8/10 {
			wanted = 0 // what needs no lease is enough
		}
		switch {
		case wanted > 0 || l.wanted > 0 || l.amount > 0:
			wants = append(wants, want{key: key, gate: g, lease: l, wanted: wanted})
		case l.demand < 1e-6:
			delete(a.leases, key)
		}
	}
	return wants
}

// purse returns how a gate's purse has to change, if it has to. That of another
// period is replaced.
func (a *admission) purse(g *limit.Gate, now time.Time) (want, bool) {
	p := g.Purse.Load()
	if g.Budget == 0 {
		return want{}, false
	}
	used, wanted := p.Used(), p.Wanted()
	start, end := g.Period.Around(now)
	fresh := !p.Start.Equal(start)
	if fresh {
		p = &limit.Purse{Start: start, End: end}
	}
	b := p.Balance()
	// Half a minute at the pace of the last second, and a small part of what is
	// left: so most passes lease nothing, and a crash leaves little set aside.
	need := max(30*used, wanted, (b.Free+p.Free())/money.EUR(8*(1+a.others)))
	if !fresh && b.Limit == g.Budget && wanted == 0 && used == 0 && p.Free() >= need/2 && p.Free() <= 2*need {
		return want{}, false
	}
	return want{key: leaseKey{g.Subject, asBudget}, gate: g, purse: p, need: need, mine: p.Mine()}, true
}

// agree decides, with the limits locked, how much of each this process has.
func (a *admission) agree(ctx context.Context, q *gatewaydb.Queries, wants []want) error {
	ask := gatewaydb.LeasedParams{ReplicaID: a.id}
	for i := range wants {
		w := &wants[i]
		ask.OrganisationIds, ask.SubjectIds = append(ask.OrganisationIds, w.key.Organisation), append(ask.SubjectIds, w.key.ID)
		ask.Ats, ask.Whats = append(ask.Ats, int64(i)), append(ask.Whats, w.key.what)
		var starts, ends time.Time
		if w.purse != nil {
			starts, ends = w.purse.Start, w.purse.End
		} else {
			starts = time.Unix(0, 0).UTC()
			ends = starts
		}
		ask.Starts, ask.Ends = append(ask.Starts, pgtype.Date{Time: starts, Valid: true}), append(ask.Ends, pgtype.Date{Time: ends, Valid: true})
	}
	if _, err := q.LockLimits(ctx, gatewaydb.LockLimitsParams{OrganisationIds: ask.OrganisationIds, SubjectIds: ask.SubjectIds}); err != nil {
		return fmt.Errorf("lock them: %w", err)
	}
	taken, err := q.Leased(ctx, ask)
	if err != nil {
		return fmt.Errorf("see what others have: %w", err)
	}
	put := gatewaydb.PutLeasesParams{
		ReplicaID: a.id, OrganisationIds: ask.OrganisationIds, SubjectIds: ask.SubjectIds, Whats: ask.Whats, Starts: ask.Starts,
	}
	for i, others := range taken {
		w := &wants[i]
		if w.purse != nil {
			w.fillBeside(others)
		} else {
			w.shareWith(others)
			a.settle(w.gate) // what it gives up is given up before others can have it
		}
		put.Amounts, put.Wanteds = append(put.Amounts, w.amount), append(put.Wanteds, w.wanted)
	}
	if err := q.PutLeases(ctx, put); err != nil {
		return fmt.Errorf("write them: %w", err)
	}
	if err := q.DropLeases(ctx, a.id); err != nil {
		return fmt.Errorf("drop the empty ones: %w", err)
	}
	return nil
}

// shareWith decides on a part of a rate by demand, within what others leave.
func (w *want) shareWith(others gatewaydb.LeasedRow) {
	if w.wanted > 0 {
		fair := int64(float64(leasable) * float64(w.wanted) / float64(w.wanted+others.Wanted))
		w.amount = max(min(fair, leasable-others.Amount), 0)
	}
	w.lease.amount = min(w.lease.amount, w.amount)
}

// fillBeside decides what is put into a purse, within what others leave. What
// it has too much of is taken out at once. What was owed may be put on record
// meanwhile: then it counts twice until the next look, and never not at all.
func (w *want) fillBeside(others gatewaydb.LeasedRow) {
	free := w.gate.Budget - others.Spent - money.EUR(others.Amount) - w.mine
	need := w.need
	if !w.gate.Purse.Load().Start.Equal(w.purse.Start) { // of a new period, of which nothing is known yet
		need = max(need, free/money.EUR(16))
	}
	short := need - w.purse.Free()
	if surplus := max(-short, -free); surplus > 0 {
		drawn := w.purse.Draw(surplus)
		free += drawn
		w.mine -= drawn
	} else {
		w.fill = max(min(short, free), 0)
		free -= w.fill
	}
	w.amount = int64(max(w.mine+w.fill, 0))
	w.balance = limit.Balance{Limit: w.gate.Budget, Spent: others.Spent, Reserved: money.EUR(others.Amount), Free: max(free, 0), At: time.Now()}
}

// apply takes over what was agreed.
func (w *want) apply() {
	if w.purse == nil {
		w.lease.amount, w.lease.wanted = w.amount, w.wanted
		return
	}
	w.purse.Fill(w.fill)
	w.purse.SetBalance(w.balance)
	w.gate.Purse.Store(w.purse)
}

// settle holds a gate to this process's part of its limits. A budget that
// nothing is known of yet has an empty purse.
func (a *admission) settle(g *limit.Gate) {
	now := a.now()
	if n := g.RequestsPerMinute; n > 0 {
		g.Requests.Set(float64(n)*a.part(g, asRequests), now)
	}
	if n := g.TokensPerMinute; n > 0 {
		g.Tokens.Set(float64(n)*a.part(g, asTokens), now)
	}
	if n := g.Concurrency; n > 0 {
		g.Slots.Set(max(int64(float64(n)*a.part(g, asSlots)+1e-6), 1))
	}
	switch p := g.Purse.Load(); {
	case g.Budget == 0:
		g.Purse.Store(nil)
	case p == nil:
		g.Purse.Store(&limit.Purse{})
	}
}

// part returns this process's part of a limit.
func (a *admission) part(g *limit.Gate, what string) float64 {
	if a.others == 0 {
		return 1
	}
	part := leasable / float64(1+a.others)
	if l := a.leases[leaseKey{g.Subject, what}]; l != nil {
		part += float64(l.amount)
	}
	return part / whole
}

// forget drops what this process had leased: it was away for so long that
// others may have it.
func (a *admission) forget() {
	clear(a.leases)
	if gates := a.gates.Load(); gates != nil {
		for _, g := range gates.budgets {
			g.Purse.Store(&limit.Purse{})
		}
	}
}

// storing notes what the usage is worth that is in the spool now. What it
// returns is called when all of that is stored.
func (a *admission) storing() func() {
	gates := a.gates.Load()
	if gates == nil || len(gates.budgets) == 0 {
		return func() {}
	}
	owed := map[*limit.Purse]money.EUR{}
	for _, g := range gates.budgets {
		if p := g.Purse.Load(); p != nil && p.Owed() != 0 {
			owed[p] = p.Owed()
		}
	}
	return func() {
		for p, spent := range owed {
			p.Recorded(spent)
		}
	}
}
