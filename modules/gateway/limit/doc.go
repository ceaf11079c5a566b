// Package limit holds how much a key, a member or an organisation may use, in
// memory and without a lock: a rate is a token bucket in one word, concurrency
// is a counter, and a budget is a purse that money is taken from before it is
// spent. It knows no database; who fills the purses and sets the rates is the
// gateway.
//
// A request holds a Ticket for what it was let in with. Releasing it twice, or
// on any path, gives everything back once.
package limit
