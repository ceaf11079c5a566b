// Package gosdk uses the official OpenAI Go SDK against a running demo, as an
// application developer does. The settings come from demo.env (see ../run.sh).
package gosdk

import (
	"errors"
	"net/http"
	"os"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

func setup(t *testing.T, opts ...option.RequestOption) (openai.Client, string) {
	t.Helper()
	model := os.Getenv("OPENAI_MODEL")
	if model == "" || os.Getenv("OPENAI_BASE_URL") == "" {
		t.Fatal("OPENAI_BASE_URL and OPENAI_MODEL are not set: run e2e/run.sh")
	}
	return openai.NewClient(append(opts, option.WithMaxRetries(0))...), model
}

func hello(model string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:     model,
		Messages:  []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Say hello.")},
		MaxTokens: openai.Int(16),
	}
}

func TestChat_answersWithUsage(t *testing.T) {
	t.Parallel()
	client, model := setup(t)
	answer, err := client.Chat.Completions.New(t.Context(), hello(model))
	if err != nil {
		t.Fatal(err)
	}
	if answer.Choices[0].Message.Content == "" || answer.Usage.CompletionTokens == 0 {
		t.Errorf("answer = %s, want content and usage", answer.RawJSON())
	}
}

func TestChat_streams(t *testing.T) {
	t.Parallel()
	client, model := setup(t)
	for _, withUsage := range []bool{false, true} {
		params := hello(model)
		if withUsage {
			params.StreamOptions.IncludeUsage = openai.Bool(true)
		}
		stream := client.Chat.Completions.NewStreaming(t.Context(), params)
		text, usages := "", 0
		for stream.Next() {
			chunk := stream.Current()
			if len(chunk.Choices) > 0 {
				text += chunk.Choices[0].Delta.Content
			}
			if chunk.Usage.TotalTokens > 0 {
				usages++
			}
		}
		if err := stream.Err(); err != nil {
			t.Fatalf("usage %v: %v", withUsage, err)
		}
		if want := map[bool]int{true: 1}[withUsage]; text == "" || usages != want {
			t.Errorf("usage %v: text %q and %d usage chunks, want text and %d", withUsage, text, usages, want)
		}
	}
}

func TestCompletionsAndEmbeddings_answer(t *testing.T) {
	t.Parallel()
	client, model := setup(t)
	completion, err := client.Completions.New(t.Context(), openai.CompletionNewParams{
		Model:  openai.CompletionNewParamsModel(model),
		Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String("Once upon a time")}, MaxTokens: openai.Int(8),
	})
	if err != nil || completion.Choices[0].Text == "" {
		t.Errorf("completion = %+v, %v", completion, err)
	}
	vectors, err := client.Embeddings.New(t.Context(), openai.EmbeddingNewParams{
		Model: model,
		Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"one", "two"}},
	})
	if err != nil || len(vectors.Data) != 2 || len(vectors.Data[0].Embedding) == 0 {
		t.Errorf("embeddings = %+v, %v", vectors, err)
	}
}

func TestModels_listTheServedOne(t *testing.T) {
	t.Parallel()
	client, model := setup(t)
	page, err := client.Models.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range page.Data {
		if m.ID == model {
			return
		}
	}
	t.Errorf("%s is not in %s", model, page.RawJSON())
}

func TestErrors_areTyped(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, code string
		status     int
		opts       []option.RequestOption
		change     func(*openai.ChatCompletionNewParams)
	}{
		{name: "bad key", code: "malformed_api_key", status: http.StatusUnauthorized, opts: []option.RequestOption{option.WithAPIKey("sk-nonsense")}},
		{name: "unknown model", code: "model_not_found", status: http.StatusNotFound, change: func(p *openai.ChatCompletionNewParams) { p.Model = "no-such/model" }},
		{name: "bad request", code: "invalid_messages", status: http.StatusBadRequest, change: func(p *openai.ChatCompletionNewParams) { p.Messages = nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			client, model := setup(t, c.opts...)
			params := hello(model)
			if c.change != nil {
				c.change(&params)
			}
			_, err := client.Chat.Completions.New(t.Context(), params)
			apiErr, ok := errors.AsType[*openai.Error](err)
			if !ok || apiErr.StatusCode != c.status || apiErr.Code != c.code {
				t.Errorf("err = %v, want status %d and code %s", err, c.status, c.code)
			}
		})
	}
}
