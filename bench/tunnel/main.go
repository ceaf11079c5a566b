// Command tunnel measures what carrying a request back through an agent's own
// connection costs, for each way of doing it, next to a plain connection.
//
//	go run ./bench/tunnel [-rounds 3] [-modes plain,tls,h2,tunnel]
//
// It starts two copies of itself: an engine that streams, and an agent that
// proxies to it. The driver stands where `inventiv serve` stands: it sends the
// requests and reads the answers. All three are on this machine, so that every
// figure is CPU time of one process alone, by getrusage; the driver's own work
// (making the request, reading the body) is in its figure in every mode alike.
//
//	plain   the driver dials the agent, HTTP/1.1 without TLS
//	tls     the driver dials the agent, HTTP/1.1 over mTLS: what encryption costs
//	h2      the agent dials, HTTP/2 runs backwards over mTLS
//	tunnel  the agent dials; what the product does: HTTP/1.1 in streams of its own frames
//
// Modes are interleaved and the best round of each is kept, as everything else
// on the machine only ever adds.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
)

func main() {
	role := flag.String("role", "", "engine or agent; set by the driver for its children")
	mode := flag.String("mode", "", "agent: how it is reached")
	engine := flag.String("engine", "", "agent: the engine's address")
	serve := flag.String("serve", "", "agent: the address to dial back to")
	dir := flag.String("dir", "", "agent: folder of the certificates")
	rounds := flag.Int("rounds", 3, "rounds; the best of each cell is kept")
	modes := flag.String("modes", "plain,tls,h2,tunnel", "what to compare")
	flag.Parse()

	if err := run(*role, *mode, *dir, *engine, *serve, *modes, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "tunnel bench:", err)
		os.Exit(1)
	}
}

func run(role, mode, dir, engine, serve, modes string, rounds int) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	switch role {
	case "engine":
		return runEngine(ctx)
	case "agent":
		return runAgent(ctx, mode, dir, engine, serve)
	default:
		return drive(ctx, strings.Split(modes, ","), rounds)
	}
}
