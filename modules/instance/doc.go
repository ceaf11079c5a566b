// Package instance takes GPU instances from a wish to their last second: it
// keeps the replicas a deployment asks for, has providers make their servers,
// puts agents on them, watches the nodes and deletes everything billed.
//
// # Owns
//
// Schema instance: deployments, instances and their history, the log of what
// was asked of providers, what providers bill, the agents' authority, nodes and
// their samples. The agents' listener and the tunnels to the nodes.
//
// # States
//
//	provisioning → booting → installing → starting → ready → draining → terminating → terminated → archived
//	      │           └──────────┴───────────┤                              ▲
//	      ▼                                  ▼                              │
//	provisioning_failed, failed        startup_failed ──────────────────────┘
//
// state.go has the one table of what may follow what, how long each state may
// last and where its deadline leads. Owners write what they want; only the
// reconciler writes states, so nobody overwrites anybody.
//
// A deployment whose minimum is 0 sleeps until it is woken, which is a wish on
// its row, and again when nobody has used it for its idle time.
//
// # Who may ask
//
// Every verb takes the actor and needs instances.operate, but for Wake: who may
// use a model may wake it, which the gateway judges. Every query takes the
// organisation. Agents are known by their client certificate alone.
//
// # What a crash leaves behind
//
// A row under a lease of a few seconds, and perhaps an operation that was sent
// and whose end nobody saw. Whoever claims the row next looks a server in doubt
// up by its tag, for as long as the provider's listing may lag, before another
// is asked for. The fencing epoch keeps a process that was only paused from
// writing. Nothing is terminated before the provider has said of each part that
// it is gone; the sweep finds what slipped through. What carries our tag and is
// of no instance on record is a stray: only people delete it.
//
// # How to look at it
//
// instance.transitions says what happened, instance.operations what providers
// were asked, instance.instances.reason what it waits for.
package instance
