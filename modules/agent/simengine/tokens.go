package simengine

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"strings"
)

// bytesPerToken is the length of a simulated token: English has about as many.
const bytesPerToken = 4

// tokenize answers with the tokens of a text, whose ids are their bytes, or of
// messages, of which there is only the count.
func (e *Engine) tokenize(w http.ResponseWriter, q *request, count int) {
	ids, texts := []uint32{}, []string{}
	if len(q.Messages) == 0 {
		texts = pieces(strings.Join(words(q.Prompt), ""))
		for _, t := range texts {
			var b [bytesPerToken]byte
			copy(b[:], t)
			ids = append(ids, binary.LittleEndian.Uint32(b[:]))
		}
		count = len(ids)
	}
	body := map[string]any{"count": count, "max_model_len": e.spec.MaxModelLen, "tokens": ids, "token_strs": nil}
	if q.TokenStrings {
		body["token_strs"] = texts
	}
	answer(w, body)
}

// detokenize answers with the text of tokens.
func (e *Engine) detokenize(w http.ResponseWriter, q *request) {
	answer(w, map[string]any{"prompt": textOf(q.Tokens)})
}

// textOf returns the text of tokens, be they another tokenizer's.
func textOf(ids []uint32) string {
	var text []byte
	for _, id := range ids {
		text = append(text, bytes.TrimRight(binary.LittleEndian.AppendUint32(nil, id), "\x00")...)
	}
	return strings.ToValidUTF8(string(text), "\uFFFD")
}
