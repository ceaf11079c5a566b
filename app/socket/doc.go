// Package socket reads and writes TCP connections without telling Go's scheduler
// of each call.
//
// A system call may take long, so the scheduler prepares for every one: it notes
// the call, and if it had nothing to do before, wakes the thread that watches for
// long ones. The calls of this package never wait, as they are made with
// MSG_DONTWAIT and carry little, so that is for nothing; and a process that
// answers one request at a time would wake that thread for most of them. Waiting is
// left to the scheduler's poller, as in package net. What is long is left to
// package net altogether. docs/adr/0015-raw-socket-calls.md has the figures.
package socket
