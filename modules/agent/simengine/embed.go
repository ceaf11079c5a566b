package simengine

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"net/http"

	"github.com/google/uuid"
)

const dimensions = 64

// embed answers with a unit vector that depends on the text alone.
func (e *Engine) embed(w http.ResponseWriter, q *request, prompt int) {
	var data []any
	for i, text := range words(q.Input) {
		vector := make([]float64, dimensions)
		length := 0.0
		for d := range vector {
			h := fnv.New64a()
			_, _ = fmt.Fprintf(h, "%d %s", d, text) // a hash takes anything
			vector[d] = float64(h.Sum64()%2_000_001)/1e6 - 1
			length += vector[d] * vector[d]
		}
		for d := range vector {
			vector[d] /= math.Sqrt(length)
		}
		data = append(data, map[string]any{"object": "embedding", "index": i, "embedding": encode(vector, q.EncodingFormat)})
	}
	answer(w, map[string]any{
		"id": "sim-" + uuid.NewString(), "object": "list", "model": e.model, "data": data,
		"usage": map[string]any{"prompt_tokens": prompt, "total_tokens": prompt},
	})
}

// encode writes a vector as the client wants it: numbers, or base64 of
// little-endian 32-bit floats, which OpenAI's SDKs ask for by default.
func encode(vector []float64, format string) any {
	if format != "base64" {
		return vector
	}
	raw := make([]byte, 0, 4*len(vector))
	for _, v := range vector {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(v)))
	}
	return base64.StdEncoding.EncodeToString(raw)
}
