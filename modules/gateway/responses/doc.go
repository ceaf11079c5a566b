// Package responses translates between OpenAI's Responses API and chat
// completions, which every engine speaks. It opens no connection and knows no
// database.
//
// It is the API without its memory: nothing is stored, so a conversation is sent
// whole each time, and what would need a memory is refused with a sentence. So
// are tools that OpenAI's own service runs. Functions, pictures as data URLs,
// structured answers, reasoning and its effort are translated. What merely tunes
// OpenAI's service, such as service_tier, is let pass and does nothing.
package responses
