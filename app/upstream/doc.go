// Package upstream sends requests to a server that speaks HTTP/1.1 (RFC 9112)
// and reads its answers, on the goroutine that asked.
//
// It does for the gateway, and on the node for the agent, what
// [net/http.Transport] does for everybody, without what they have no use for:
// there are no goroutines and channels between a caller and its connection, a
// request whose head is mostly known beforehand is one write, and an answer is
// read straight into the caller's memory. ADR 0010 says what that is worth.
//
// It follows no redirects, decodes no compression, sends no 100-continue and
// keeps no cookies. An answer whose framing is ambiguous, in the ways that
// request smuggling uses, is refused.
package upstream
