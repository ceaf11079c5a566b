// Package auth knows who is asking: users, organisations, memberships,
// sessions, one-time links and API keys. It owns the schema auth.
package auth
