package gosdk

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3/option"
)

// overheard notes what comes through a body.
type overheard struct {
	io.Reader
	io.Closer
}

// TestWaking_isNotNoticed wakes a model, which is to be one that takes longer
// than the gateway waits before it shows a stream that it is alive.
func TestWaking_isNotNoticed(t *testing.T) {
	t.Parallel()
	model := os.Getenv("E2E_SLEEPING_MODEL")
	if model == "" {
		t.Fatal("E2E_SLEEPING_MODEL is not set: run e2e/run.sh")
	}
	t.Run("plain", func(t *testing.T) {
		t.Parallel()
		client, _ := setup(t)
		answer, err := client.Chat.Completions.New(t.Context(), hello(model))
		if err != nil || answer.Choices[0].Message.Content == "" {
			t.Errorf("answer = %+v, %v", answer, err)
		}
	})
	t.Run("streamed", func(t *testing.T) {
		t.Parallel()
		var wire bytes.Buffer
		client, _ := setup(t, option.WithMiddleware(func(req *http.Request, next option.MiddlewareNext) (*http.Response, error) {
			res, err := next(req)
			if err == nil {
				res.Body = overheard{io.TeeReader(res.Body, &wire), res.Body}
			}
			return res, err
		}))
		stream := client.Chat.Completions.NewStreaming(t.Context(), hello(model))
		text := ""
		for stream.Next() {
			if c := stream.Current(); len(c.Choices) > 0 {
				text += c.Choices[0].Delta.Content
			}
		}
		if err := stream.Err(); err != nil || text == "" {
			t.Errorf("text %q, %v", text, err)
		}
		if !strings.HasPrefix(wire.String(), ": waiting for a replica to start\n") {
			t.Errorf("the stream began otherwise: %.200s", wire.String())
		}
	})
}
