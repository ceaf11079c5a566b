package main

import (
	"container/list"
	"slices"
	"time"
)

// The model of an engine: continuous batching with chunked prefill and a prefix
// cache, as vLLM does it, with the figures of an 8-billion-parameter model on a
// middling card at speed 1.
const (
	stepTime     = 20 * time.Millisecond  // of a step that does next to nothing
	decodeTime   = 150 * time.Microsecond // more per request that is being answered
	prefillTime  = 180 * time.Microsecond // more per token of a prompt
	stepTokens   = 2048                   // of prompts and answers in one step
	maxRunning   = 64                     // requests at once, the rest wait
	cacheTokens  = 120_000                // of prompts that can be kept
	reportPeriod = 10 * time.Second       // the agent's heartbeat
)

// engine is one replica.
type engine struct {
	speed     float64
	events    *events
	finish    func(*request)
	waiting   []*request
	running   []*request
	busy      bool
	cache     cache
	generated int64
	held      int // tokens of the prompts and answers of running
}

// take puts a request into the engine's queue.
func (e *engine) take(r *request) {
	e.waiting = append(e.waiting, r)
	if !e.busy {
		e.busy = true
		e.step()
	}
}

// step does one step and comes back when it is over.
func (e *engine) step() {
	for len(e.waiting) > 0 && len(e.running) < maxRunning && e.held+e.waiting[0].promptTokens() < cacheTokens {
		r := e.waiting[0]
		e.waiting = e.waiting[1:]
		r.cached = e.cache.prefix(r.prompt)
		r.left = max(1, r.promptTokens()-r.cached)
		e.held += r.promptTokens() + r.answer
		e.running = append(e.running, r)
	}
	budget, prefilled, decoding := stepTokens, 0, 0
	for _, r := range e.running {
		if r.left == 0 {
			decoding++
		}
	}
	budget -= decoding
	var answering []*request
	for _, r := range e.running {
		if r.left > 0 {
			n := min(r.left, budget)
			r.left, budget, prefilled = r.left-n, budget-n, prefilled+n
			if r.left > 0 {
				continue
			}
			e.cache.keep(r.prompt)
		}
		answering = append(answering, r)
	}
	took := stepTime + time.Duration(decoding)*decodeTime + time.Duration(prefilled)*prefillTime
	e.events.add(e.events.now+time.Duration(float64(took)/e.speed), func() { e.stepped(answering) })
}

// stepped ends a step: each request that was answered has one token more.
func (e *engine) stepped(answering []*request) {
	for _, r := range answering {
		if r.done++; r.done == 1 {
			r.first = e.events.now
		}
		e.generated++
	}
	running := e.running[:0]
	for _, r := range e.running {
		if r.done < r.answer {
			running = append(running, r)
			continue
		}
		r.finished = e.events.now
		e.held -= r.promptTokens() + r.answer
		e.finish(r)
	}
	e.running = running
	if e.busy = len(e.running)+len(e.waiting) > 0; e.busy {
		e.step()
	}
}

// cache keeps the segments that were used last.
type cache struct {
	order  list.List // of segment, the last used first
	at     map[int]*list.Element
	tokens int
}

// prefix returns how many tokens a prompt begins with that are kept.
func (c *cache) prefix(prompt []segment) int {
	n := 0
	for _, s := range prompt {
		at := c.at[s.id]
		if at == nil {
			break
		}
		c.order.MoveToFront(at)
		n += s.tokens
	}
	return n
}

// keep puts a prompt into the cache, its beginning being what goes last.
func (c *cache) keep(prompt []segment) {
	if c.at == nil {
		c.at = map[int]*list.Element{}
	}
	for _, s := range slices.Backward(prompt) {
		if at := c.at[s.id]; at != nil {
			c.order.MoveToFront(at)
			continue
		}
		c.at[s.id] = c.order.PushFront(s)
		c.tokens += s.tokens
	}
	for c.tokens > cacheTokens {
		last, _ := c.order.Remove(c.order.Back()).(segment)
		delete(c.at, last.id)
		c.tokens -= last.tokens
	}
}
