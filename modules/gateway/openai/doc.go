// Package openai reads and writes the OpenAI HTTP surface as bytes: request
// heads, answers, event streams and error bodies. It opens no connection and
// knows no database, so everything in it can be tested and fuzzed alone.
//
// It is the hot path of the gateway, so it never decodes JSON into Go values
// and never encodes it back. One pass over a request body finds what the
// gateway acts on and where it stands; changing the model's name or asking for
// usage is then a splice of the client's own bytes. One pass over an answer
// finds its usage. An event stream is passed on event by event, untouched but
// for the usage that the client did not ask for. None of these allocate for
// ordinary input.
package openai
