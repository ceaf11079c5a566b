package main

import (
	"container/heap"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/balance"
)

// segment is a stretch of prompt that requests share or not: what a prefix
// cache keeps is a chain of them.
type segment struct {
	id     int
	tokens int
}

// request is one request of the load.
type request struct {
	at      time.Duration
	prompt  []segment
	answer  int    // tokens
	key     uint64 // of the prompt's beginning, as the gateway makes it
	session uint64 // of X-Inventiv-Session; 0 without one

	replica  int
	cached   int // prompt tokens that were in the replica's cache
	left     int // prompt tokens still to be prefilled
	done     int // tokens of the answer that are there
	first    time.Duration
	finished time.Duration
}

func (r *request) promptTokens() int {
	n := 0
	for _, s := range r.prompt {
		n += s.tokens
	}
	return n
}

// What the load is made of. Documents are asked about again and again, the
// first of them most often; conversations grow by a question and an answer at
// each turn and share the instructions of their application; the rest are short
// requests that have nothing in common.
const (
	documents      = 160
	documentTokens = 4000
	applications   = 3
	instructions   = 1200 // tokens
	turns          = 8
	thinking       = 15 * time.Second // between an answer and the next question

	aboutDocuments = 0.5 // shares of what arrives
	conversations  = 0.1 // each is turns requests
)

// makeLoad returns the requests of a stretch of time at a mean rate per second.
func makeLoad(seed uint64, length time.Duration, rate float64) []*request {
	r := rand.New(rand.NewPCG(seed, 1))
	next := 0
	fresh := func(tokens int) segment { next++; return segment{next, tokens} }
	shared := func(n, tokens int) []segment {
		s := make([]segment, n)
		for i := range s {
			s[i] = fresh(tokens)
		}
		return s
	}
	docs, apps := shared(documents, documentTokens), shared(applications, instructions)
	zipf := rand.NewZipf(r, 1.2, 8, documents-1)
	var all []*request
	perArrival := aboutDocuments + conversations*turns + (1 - aboutDocuments - conversations)
	for at := time.Duration(0); at < length; {
		at += time.Duration(r.ExpFloat64() / rate * perArrival * float64(time.Second))
		switch kind := r.Float64(); {
		case kind < aboutDocuments:
			doc := docs[zipf.Uint64()]
			all = append(all, &request{at: at, prompt: []segment{doc, fresh(40 + r.IntN(80))}, answer: 50 + r.IntN(200), key: written(doc)})
		case kind < aboutDocuments+conversations:
			app, session := apps[r.IntN(len(apps))], balance.Key(fmt.Appendf(nil, "session %d", len(all)))
			prompt, when := []segment{app}, at
			for range turns {
				prompt = append(slices.Clone(prompt), fresh(50+r.IntN(150)))
				q := &request{at: when, prompt: prompt, answer: 100 + r.IntN(300), key: written(app), session: session}
				all = append(all, q)
				prompt = append(slices.Clone(prompt), fresh(q.answer))
				when += 10*time.Second + time.Duration(r.ExpFloat64()*float64(thinking))
			}
		default:
			all = append(all, &request{at: at, prompt: []segment{fresh(50 + r.IntN(150))}, answer: 50 + r.IntN(200)})
		}
	}
	slices.SortStableFunc(all, func(a, b *request) int { return int(a.at - b.at) })
	return all
}

// written returns the key of a prompt that begins with a segment, by way of the
// bytes that a client would send.
func written(s segment) uint64 {
	text := fmt.Sprintf(`[{"role":"system","content":"%d `, s.id)
	return balance.PromptKey([]byte(text + strings.Repeat("word ", s.tokens)))
}

// events is a queue of what happens, by time and then by order of arrival.
type events struct {
	now  time.Duration
	list []event
	n    int
}

type event struct {
	at time.Duration
	n  int
	do func()
}

func (e *events) Len() int { return len(e.list) }
func (e *events) Less(i, j int) bool {
	if e.list[i].at != e.list[j].at {
		return e.list[i].at < e.list[j].at
	}
	return e.list[i].n < e.list[j].n
}
func (e *events) Swap(i, j int) { e.list[i], e.list[j] = e.list[j], e.list[i] }
func (e *events) Push(x any) {
	next, _ := x.(event) // nothing else is pushed
	e.list = append(e.list, next)
}
func (e *events) Pop() any {
	last := e.list[len(e.list)-1]
	e.list = e.list[:len(e.list)-1]
	return last
}

// add lets something happen at a moment.
func (e *events) add(at time.Duration, do func()) {
	e.n++
	heap.Push(e, event{at, e.n, do})
}

// run lets everything happen that was added, in order.
func (e *events) run() {
	for e.Len() > 0 {
		next, _ := heap.Pop(e).(event)
		e.now = next.at
		next.do()
	}
}

// quantile returns the p-quantile of sorted values.
func quantile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(math.Ceil(p*float64(len(sorted))))-1)]
}
