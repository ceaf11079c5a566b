// Package api is the JSON API below /api/v1: what people do in the console, for
// programs and for the client verbs of the command line.
//
// One table (table.go) says what there is. A row is a method, a path, the
// permission it needs, and a function from a request type to an answer type;
// from the same rows the routes are registered, parameters and bodies are read,
// and the OpenAPI 3.1 document at /api/v1/openapi.json is written. So the
// document cannot say something else than what is served.
//
// Requests are read strictly: an unknown field or parameter is refused by name.
// Money is a decimal string in EUR, a moment is RFC 3339 in UTC, a list is an
// object with "items". Errors are RFC 9457 problem+json with "code", "fix" and,
// for fields, "errors" with pointers.
package api
