// Package anthropic translates between Anthropic's Messages API, versions
// 2023-06-01 and 2026-10-21, and chat completions, which every engine speaks. It
// opens no connection and knows no database.
//
// What both have is translated: system prompts, texts, pictures in Base64, tools
// with their uses and results, thinking, structured answers, stop sequences,
// usage. What only Anthropic's own service has is refused with a sentence:
// tools that it runs itself, files, documents, pictures at an address. What
// merely tunes its service, such as cache_control, is let pass and does nothing.
//
// A model's reasoning is shown as thinking to clients that enable it and left out
// for others. Engines sign nothing, so signatures are empty and thinking that
// comes back is believed.
package anthropic
