// Package cli holds the commands that talk to a running server: inventiv
// <noun> <verb>. They speak HTTP to the JSON API and know nothing of the
// server's insides.
//
// What is asked for goes to standard output, as a table for people or as JSON
// for programs; everything else goes to standard error. A refusal says what
// happened, why, what to do, its code and the request's id, and the exit code
// says of which kind it is (see Exit). Nothing is ever asked when nobody is
// there to answer.
package cli
