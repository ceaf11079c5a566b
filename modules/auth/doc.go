// Package auth knows who is asking: users, organisations, memberships,
// sessions, one-time links and API keys. It owns the schema auth.
//
// # Who may do what
//
// A role is a set of permissions, not a rung of a ladder:
//
//	instances.view     owner  admin  manager  user  auditor
//	instances.operate  owner  admin
//	models.view        owner  admin  manager  user  auditor
//	models.edit        owner  admin
//	prices.edit        owner         manager
//	endpoints.view     owner  admin  manager  user  auditor
//	endpoints.edit     owner  admin
//	keys.own           owner  admin  manager  user
//	keys.all           owner  admin
//	members.view       owner  admin  manager  user  auditor
//	members.edit       owner  admin
//	usage.own          owner  admin  manager  user  auditor
//	usage.all          owner  admin  manager        auditor
//	costs.view         owner  admin  manager        auditor
//	limits.edit        owner  admin  manager
//	inference.use      owner  admin  manager  user
//	audit.view         owner  admin  manager        auditor
//
// platform.operate is held by the operators of the platform, whatever their
// role. An owner may give every role and take it away; an admin manager, user and
// auditor, but not his own; nobody else may give any. An organisation always has
// an owner.
//
// The role is read from the database on each request, so taking it away works
// at once in every session. An API key may do what its scopes and its owner's
// role both allow at this moment, and never grants more than an admin.
//
// # What is kept
//
// Passwords as argon2id, session tokens and links as SHA-256, the secrets of
// API keys as HMAC-SHA-256 under a pepper derived from the master key, which is
// not in the database. None of them can be read back.
//
// # How a change of a key spreads
//
// Each change takes the next version from auth.api_key_changes and holds that
// row until it commits, so versions appear in order. Processes read what lies
// above the version they know: when an event tells them, else within a second.
// Without the database a process believes the keys it knows for five minutes.
//
// # What a crash leaves behind
//
// Nothing half-done: each change is one transaction, its line of audit included.
// Lost are at most the last 30 s of when keys were used, and a claim on an
// idempotency key, for five minutes.
//
// # How to look at it
//
// auth.audit says who changed what, auth.sessions who is signed in,
// auth.throttles who was slowed down; the loops "api keys" and "api key use"
// say how fresh the table of keys is.
package auth
