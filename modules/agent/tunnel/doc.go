// Package tunnel carries HTTP requests backwards: the agent on a node dials the
// control plane, and requests travel to it through the connection it made. A
// node therefore needs no open port, no address of its own, and no rule in
// anybody's firewall.
//
// One connection is a link: mutual TLS 1.3, upgraded from an HTTP request, then
// frames of streams, then HTTP/1.1 in each stream. docs/adr/0004-tunnel.md and
// docs/adr/0013-frames.md have the measurements behind that. A node keeps two
// links to each address of the control plane, since a lost packet stalls every
// stream of one connection.
//
//	control plane   Upgrade, Hub     one Hub per process, over all instances
//	node            Dialer, Serve    one Dialer per agent
//
// What both ends promise:
//
//   - A request that is cancelled closes its stream: the other end's handler has
//     its context cancelled after one trip of the network.
//   - A peer that is silently gone is noticed within ten seconds: both ends send
//     something every two.
//   - A reader that stalls holds at most 256 KiB of its own stream and nobody
//     else.
//   - An answer that broke off ends in an error, never in a clean end.
//
// # Frames
//
// The control plane opens streams and keeps them for one request after the
// other; the agent opens none. Each direction of a stream has a credit of 256 KiB
// that the reader's end renews as it reads. An end says that it leaves, and takes
// no further streams then; either end may close a stream, for both directions at
// once. A frame that makes no sense ends the link.
package tunnel

import "errors"

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
