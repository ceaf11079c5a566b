// Package http1 answers small HTTP/1.1 requests (RFC 9112) of one handler at
// little cost, and leaves everything else to net/http.
//
// # What it takes
//
// A request whose path the server was told to be its own, which is plainly well
// formed: GET without a body or POST with a Content-Length, origin form without
// escapes or a query, one Host, fields of unambiguous syntax. Whatever is
// anything else, a console page, an upgrade, chunks, Expect, a mistake or an attack,
// goes to net/http with its connection, every byte of it unread, and stays there.
// The exceptions are a head that is too long and an expectation that nobody knows:
// net/http would refuse them without asking anybody how, so they are refused here,
// as the handler's clients know it, if the request line shows that they are its.
// So there is one reference for what HTTP means, and this package is a shortcut
// to the same answer; a fuzz target holds the one against the other.
//
// # What it saves
//
// A connection has one goroutine, one request and one header map for its whole
// life, and one write per answer. Whether a client has left is not watched from
// the first moment, which costs a goroutine per request, but once a request has
// lasted for a while. docs/adr/0010-http-path.md has the figures.
//
// # What a handler must know
//
// The request, its header and its URL are used again: nothing of them may be
// kept after the handler has returned. The request's context ends when the
// client leaves and when the connection ends, not when the handler returns.
// [http.ResponseController] sets deadlines and flushes as with net/http. There is
// no hijacking and there are no trailers.
package http1
