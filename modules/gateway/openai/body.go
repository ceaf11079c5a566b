package openai

import "strconv"

// Body is a request's body as the engine is sent it: the client's bytes with
// at most three places changed. It shares the client's bytes and copies nothing.
type Body struct {
	parts [7][]byte
	n     int
}

// edit is text that takes a span's place.
type edit struct {
	at   span
	text []byte
}

// Body returns the client's body with the name of the model replaced by model,
// a JSON string with its quotes, unless that is empty; a stream's body also
// asks for usage, and one without a limit on tokens gets Most, if that is set.
// Everything else stays as it is, byte for byte.
func (h *Head) Body(client, model []byte) Body {
	var edits [3]edit
	n := 0
	put := func(at span, text []byte) {
		i := n
		for ; i > 0 && edits[i-1].at.from > at.from; i-- {
			edits[i] = edits[i-1]
		}
		edits[i] = edit{at, text}
		n++
	}
	if h.Stream && h.text != "" {
		put(h.insert, []byte(h.text))
	}
	if len(model) > 0 {
		put(h.model, model)
	}
	if h.Most > 0 && h.MaxTokens == 0 && h.Kind.Generates() {
		put(h.limit())
	}
	var b Body
	from := 0
	for _, e := range edits[:n] {
		b.add(client[from:e.at.from])
		b.add(e.text)
		from = e.at.to
	}
	b.add(client[from:])
	return b
}

// limit returns where Most is written, and how.
func (h *Head) limit() (span, []byte) {
	most := strconv.Itoa(int(h.Most))
	if null := int(h.null); null > 0 {
		return span{null, null + len("null")}, []byte(most)
	}
	return span{int(h.open), int(h.open)}, []byte(`"max_tokens":` + most + ",")
}

func (b *Body) add(part []byte) {
	b.parts[b.n] = part
	b.n++
}

// Parts returns the body as consecutive pieces, good for one vectored write.
func (b *Body) Parts() [][]byte { return b.parts[:b.n] }
