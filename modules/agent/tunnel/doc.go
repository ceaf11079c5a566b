// Package tunnel carries HTTP requests backwards: the agent on a node dials the
// control plane, and requests travel to it through the connection it made. A
// node therefore needs no open port, no address of its own, and no rule in
// anybody's firewall.
//
// One connection is a link: mutual TLS 1.3, upgraded from an HTTP request, then
// yamux, then HTTP/1.1 in each stream. docs/adr/0004-tunnel.md has the
// measurements behind that. A node keeps two links to each address of the
// control plane, since a lost packet stalls every stream of one connection.
//
//	control plane   Upgrade, Hub     one Hub per process, over all instances
//	node            Dialer, Serve    one Dialer per agent
//
// What both ends promise:
//
//   - A request that is cancelled closes its stream: the other end's handler has
//     its context cancelled after one trip of the network.
//   - A peer that is silently gone is noticed within ten seconds, by pings that
//     must be answered.
//   - A reader that stalls holds at most 256 KiB of its own stream and nobody
//     else.
//   - An answer that broke off ends in an error, never in a clean end.
package tunnel

import (
	"errors"
	"io"
	"time"

	"github.com/hashicorp/yamux"
)

// Errors of both ends.
var (
	// ErrNotConnected is returned for a request to an instance without a link.
	// Nothing of the request has been sent, its body has been closed.
	ErrNotConnected = errors.New("instance is not connected")
	// ErrTooManyLinks is returned by Accept for an instance that has enough.
	ErrTooManyLinks = errors.New("instance has too many links")
	// ErrNotUpgrade is returned for a request that does not ask for a tunnel.
	ErrNotUpgrade = errors.New("not a request for a tunnel")
	// ErrClosed is returned by Accept of a hub that is closed.
	ErrClosed = errors.New("hub is closed")
)

// A peer is dead when it has not answered a ping for pingTimeout; pings go out
// every pingEvery. Their sum is the longest a dead peer goes unnoticed.
const (
	pingEvery   = 3 * time.Second
	pingTimeout = 5 * time.Second
)

// resetAfter is how long a stream that one end closed may wait for the other
// end to close it too. An answer that nobody reads any more ends then.
const resetAfter = 10 * time.Second

// backlog is how many streams may be opened before the agent took the first.
const backlog = 1024

func yamuxConfig() *yamux.Config {
	c := yamux.DefaultConfig()
	c.AcceptBacklog = backlog
	c.KeepAliveInterval = pingEvery
	c.ConnectionWriteTimeout = pingTimeout
	c.StreamCloseTimeout = resetAfter
	c.LogOutput = io.Discard // whatever it would say ends the session with an error
	return c
}
