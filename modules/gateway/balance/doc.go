// Package balance chooses which of several replicas a request goes to.
//
// It is pure: it asks no clock, draws no numbers and talks to nobody, so that
// the simulation in bench/routing runs the very code that serves. A moment is
// the time since an origin of the caller's choice, which must not go backwards.
//
// A [Replica] is what is known of one server: its work in progress, what its
// engine reported, how fast it is, and whether it is ejected. It lives as long
// as the server does. A [Set] is a snapshot of the replicas of one model, made
// anew by every reload of the routes. Choosing takes no lock and no memory.
//
// A request with a key (a session, or what its prompt begins with) goes where
// others with the same key went, because that replica has the prefix in its
// cache: consistent hashing with bounded loads, after Mirrokni, Thorup and
// Zadimoghaddam (SODA 2018, arXiv:1608.01350). Its order of replicas per key is
// rendezvous hashing (Thaler and Ravishankar, 1998), weighted, which for tens of
// replicas needs no ring. A request without a key goes to the better of two
// replicas drawn at random (Mitzenmacher, 2001), so that several processes with
// the same old figures do not all run to the same replica. docs/routing.md has
// the figures and ADR 0012 the reasons.
package balance
