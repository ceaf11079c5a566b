// Package events tells whoever cares that something has changed, and nothing
// about what: an event is a topic and a key, its reader asks the owner.
//
// # Owns
//
// The channel "inventiv" of the database, one LISTEN connection per process, and
// in memory the last 1,024 events, so that a browser that lost its connection
// for a moment gets what it missed.
//
// # Promises
//
// An event posted in a transaction is delivered to every connected process
// after the commit, and never when it rolls back. Nothing is delivered for
// sure: a lost connection loses events. Therefore every consumer also has a
// period, and each (re)connection calls every waker and sends every subscriber
// a reset, after which a page fetches itself anew.
//
// A subscriber that does not keep up is dropped, so a slow browser never holds
// up a publisher; it comes back with the last id it saw.
//
// # Who may ask
//
// An event belongs to one organisation and is shown to its subscribers only;
// one without an organisation is for platform admins.
//
// # What a crash leaves
//
// Nothing. Ids name the process that gave them, so those of another process, or
// of one that is gone, are unknown and answered with a reset.
package events
