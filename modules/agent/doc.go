// Package agent is the daemon of a node, "inventiv agent": it joins the control
// plane, runs the engine that it is told to, reports, and answers the requests
// that come back through the connections it made.
//
// It owns one folder, the state directory:
//
//	key.pem           the node's private key, made here, 0600
//	certificate.pem   the client certificate, good for a day
//	orders.json       what was wanted last, 0600: the engine's environment may hold secrets
//	events.log        what happened, one JSON object a line; events.log.1 is older
//	engine.log        what the engine printed; engine.log.1 is older
//	listen            the address of the local pages
//	lock              held while an agent runs on the folder
//
// What a crash leaves behind is what a stop leaves behind: the next start finds
// the identity and the last orders, and goes on, also while the control plane is
// away. A join token is needed once; an answer to it that was lost may be asked
// for again with the same key.
//
// How to look at it: the local pages (/healthz /readyz /info /logs /metrics) on
// loopback, the same through the tunnel.
package agent
