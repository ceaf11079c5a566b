// Package migrations holds the SQL that builds the database, one file per
// change, each named for the module whose schema it touches. sqlc and goose
// read this folder; nothing else lives here.
package migrations

import "embed"

// FS holds the migrations of this binary.
//
//go:embed *.sql
var FS embed.FS
