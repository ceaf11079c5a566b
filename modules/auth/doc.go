// Package auth knows who is asking: users, organisations, memberships,
// sessions, one-time tickets and API keys. It owns the schema auth.
//
// # Who may ask
//
// A role is a set of permissions, not a rung of a ladder (see permission.go).
// The role is read from the database on each request, so taking it away works
// at once, in every session. An API key never may do more than its owner may
// now.
//
// # What is kept
//
// Passwords as argon2id, session tokens and tickets as SHA-256, API key secrets
// as HMAC-SHA-256 under a pepper derived from the master key, which is not in
// the database. None of them can be read back.
//
// # What a crash leaves behind
//
// Nothing half-done: each change is one transaction, its audit row included. A
// key that was revoked during a crash stays revoked; replicas read all keys
// again when they start.
//
// # How to look at it
//
// auth.audit says who changed what; auth.sessions who is signed in.
package auth
