// Package chat holds chat completions as Go values, for those who translate
// between them and another API: the request that every engine takes, its answer,
// and the chunks of a stream. It opens no connection and knows no database.
//
// What passes through untranslated never becomes a value of this package; that
// is package openai's, which reads bytes.
package chat
