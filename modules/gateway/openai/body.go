package openai

import "io"

// Body is a request's body as the engine is sent it: the client's bytes with
// at most two places changed. It shares the client's bytes and copies nothing.
type Body struct {
	parts [5][]byte
	n     int
}

// Body returns the client's body with the name of the model replaced by model,
// a JSON string with its quotes, unless that is empty; a stream's body also
// asks for usage. Everything else stays as it is, byte for byte.
func (h *Head) Body(client, model []byte) Body {
	var b Body
	from := 0
	cut := func(s span, text []byte) {
		b.add(client[from:s.from])
		b.add(text)
		from = s.to
	}
	asks := h.Stream && h.text != ""
	if asks && h.insert.from < h.model.from {
		cut(h.insert, []byte(h.text))
		asks = false
	}
	if len(model) > 0 {
		cut(h.model, model)
	}
	if asks {
		cut(h.insert, []byte(h.text))
	}
	b.add(client[from:])
	return b
}

func (b *Body) add(part []byte) {
	b.parts[b.n] = part
	b.n++
}

// Parts returns the body as consecutive pieces, good for one vectored write.
func (b *Body) Parts() [][]byte { return b.parts[:b.n] }

// Size returns the body's length in bytes.
func (b *Body) Size() int64 {
	n := 0
	for _, p := range b.Parts() {
		n += len(p)
	}
	return int64(n)
}

// Reader returns a reader of the body from its start. Readers of one body are
// independent of each other, so a request can be sent again.
func (b *Body) Reader() io.ReadCloser { return &bodyReader{body: b} }

type bodyReader struct {
	body      *Body
	part, off int
}

func (r *bodyReader) Read(p []byte) (int, error) {
	n := 0
	for r.part < r.body.n && n < len(p) {
		c := copy(p[n:], r.body.parts[r.part][r.off:])
		n, r.off = n+c, r.off+c
		if r.off == len(r.body.parts[r.part]) {
			r.part, r.off = r.part+1, 0
		}
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (r *bodyReader) Close() error { return nil }
