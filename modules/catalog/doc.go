// Package catalog knows what can be served, where it can run, and what both
// cost: models with their versions of token prices, and offers of machines.
//
// # Owns
//
// The schema catalog. A catalogue is shipped in the binary (shipped.json) and
// loaded at each start; what operators and providers have said since is kept.
//
// # Who may ask
//
// Models of the platform are everybody's; an organisation sees its own besides,
// and its own replaces the platform's of the same name. Adding a model needs
// models.edit, a price needs prices.edit, and both hold for the actor's
// organisation only.
//
// # Prices
//
// A price is a version that is never edited: setting one adds a row. The
// newest of the organisation is in force for it, else the newest of the
// platform.
//
// # What a crash leaves
//
// Nothing half done: each verb is one transaction.
package catalog
