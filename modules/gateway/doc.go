// Package gateway is the OpenAI-compatible endpoint: it lets requests in, sends
// each to a server that runs its model, and meters it.
//
// # Owns
//
// The schema gateway: endpoints (servers that already run elsewhere), limits,
// what of them each process has leased, usage records and what they add up to
// per day; and, on the local disk, the spool of records on their way there. The
// route table is a copy in memory, made anew every second and on every event.
//
// # States
//
// A request is accepted when its open record is in the spool and ends with a
// final one: completed if the client was sent the whole answer, interrupted
// with a code otherwise. The final record is written before the last byte goes
// out, so an answer that is complete at the client is metered. An endpoint is
// unknown, reachable or unreachable. Each process judges the replicas for
// itself: one is eligible, ejected, or on trial (package balance).
//
// # Who may ask
//
// /v1 asks for an API key with the scope inference; ServeAs is for members who
// have signed in. Verbs on endpoints and usage take the actor. Nothing here
// asks the database while a request waits; one that may be within a budget, but
// not within this process's part of it, waits for the loop that leases; one
// for a model that sleeps waits for the loop of the routes, which has it woken.
//
// # What a crash leaves behind
//
// Open records without a final one, which become interrupted records at the
// next start, and final ones not yet stored, which are stored then. Storing one
// twice does nothing, and what a database loses in a failover is stored again.
// Leases of limits, which run out: those of rates after
// 15 s, those of budgets after six minutes.
//
// # How to look at it
//
// The loops "routes", "usage", "endpoints", "canaries", "limits" and "usage partitions", the metrics
// inventiv_gateway_*, and x-request-id, which is the record's id.
package gateway
