package simengine_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/simengine"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

const model = "inventiv/simulated-chat"

func serve(t *testing.T, spec wire.SimSpec) string {
	t.Helper()
	s := httptest.NewServer(simengine.New(spec, model))
	t.Cleanup(s.Close)
	return s.URL
}

func post(ctx context.Context, t *testing.T, url, body string) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return http.DefaultClient.Do(req)
}

func call(t *testing.T, url, body string) (int, string) {
	t.Helper()
	res, err := post(t.Context(), t, url, body)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

const hello = `{"model":"inventiv/simulated-chat","messages":[{"role":"user","content":"Hello there"}]`

func TestChat_saysWhatItIsAndCounts(t *testing.T) {
	t.Parallel()
	status, text := call(t, serve(t, wire.SimSpec{})+"/v1/chat/completions", hello+`,"max_tokens":7}`)
	var got struct {
		Choices []struct {
			Message      struct{ Content string }
			FinishReason string `json:"finish_reason"`
		}
		Fingerprint string `json:"system_fingerprint"`
		Usage       struct {
			CompletionTokens int `json:"completion_tokens"`
		}
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s: %v", status, text, err)
	}
	if !strings.Contains(got.Choices[0].Message.Content, "simulated engine") || got.Fingerprint != simengine.Fingerprint {
		t.Errorf("it does not say that it is a simulator: %s", text)
	}
	if got.Usage.CompletionTokens != 7 || got.Choices[0].FinishReason != "length" {
		t.Errorf("max_tokens 7 gives %d tokens and %q", got.Usage.CompletionTokens, got.Choices[0].FinishReason)
	}
}

func TestStream_usageComesLastAndOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	url := serve(t, wire.SimSpec{}) + "/v1/chat/completions"
	_, without := call(t, url, hello+`,"stream":true}`)
	_, with := call(t, url, hello+`,"stream":true,"stream_options":{"include_usage":true}}`)
	if strings.Contains(without, `"usage"`) || !strings.HasSuffix(without, "data: [DONE]\n\n") {
		t.Errorf("without usage: …%s", without[len(without)-200:])
	}
	frames := strings.Split(strings.TrimSpace(with), "\n\n")
	last := frames[len(frames)-2]
	if !strings.Contains(last, `"choices":[]`) || !strings.Contains(last, `"usage":{`) || strings.Count(with, `"usage"`) != 1 {
		t.Errorf("with usage the last chunk is %s", last)
	}
}

func TestPace_delaysTheFirstTokenAndTheRest(t *testing.T) {
	t.Parallel()
	url := serve(t, wire.SimSpec{FirstTokenMillis: 60, TokensPerSecond: 100}) + "/v1/chat/completions"
	begun := time.Now()
	call(t, url, hello+`,"max_tokens":11}`)
	if took := time.Since(begun); took < 160*time.Millisecond {
		t.Errorf("11 tokens took %s, want at least 60 ms + 10 × 10 ms", took)
	}
}

func TestFaults_eachDoesWhatItSays(t *testing.T) {
	t.Parallel()
	for kind, check := range map[wire.SimFaultKind]func(t *testing.T, url string){
		wire.FaultError: func(t *testing.T, url string) {
			t.Helper()
			if status, _ := call(t, url, hello+"}"); status != http.StatusInternalServerError {
				t.Errorf("status = %d", status)
			}
		},
		wire.FaultBusy: func(t *testing.T, url string) {
			t.Helper()
			if status, _ := call(t, url, hello+"}"); status != http.StatusTooManyRequests {
				t.Errorf("status = %d", status)
			}
		},
		wire.FaultGarbage: func(t *testing.T, url string) {
			t.Helper()
			if _, text := call(t, url, hello+"}"); json.Valid([]byte(text)) {
				t.Errorf("%s is JSON", text)
			}
		},
		wire.FaultNoUsage: func(t *testing.T, url string) {
			t.Helper()
			if _, text := call(t, url, hello+"}"); strings.Contains(text, "usage") {
				t.Errorf("%s has usage", text)
			}
		},
		wire.FaultDie: func(t *testing.T, url string) {
			t.Helper()
			res, err := post(t.Context(), t, url, hello+`,"stream":true}`)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			text, err := io.ReadAll(res.Body)
			if !errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(string(text), "[DONE]") {
				t.Errorf("it ends with %v after %q", err, text)
			}
		},
		wire.FaultHang: func(t *testing.T, url string) {
			t.Helper()
			ctx, cancel := context.WithCancel(t.Context())
			res, err := post(ctx, t, url, hello+`,"stream":true}`)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			lines := bufio.NewScanner(res.Body)
			lines.Scan()
			time.AfterFunc(50*time.Millisecond, cancel)
			for lines.Scan() {
				if strings.Contains(lines.Text(), "[DONE]") {
					t.Error("it goes on")
				}
			}
		},
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			check(t, serve(t, wire.SimSpec{Faults: []wire.SimFault{{Kind: kind, AfterTokens: 2}}})+"/v1/chat/completions")
		})
	}
}

func TestSurface_errorsAsVLLM(t *testing.T) {
	t.Parallel()
	base := serve(t, wire.SimSpec{MaxModelLen: 10})
	for body, want := range map[string]int{
		"{": http.StatusBadRequest, `{"model":"other","messages":[]}`: http.StatusNotFound,
		`{"model":"inventiv/simulated-chat","messages":[]}`:                                                             http.StatusBadRequest,
		`{"model":"inventiv/simulated-chat","messages":[{"role":"user","content":"` + strings.Repeat("x", 400) + `"}]}`: http.StatusBadRequest,
	} {
		if status, text := call(t, base+"/v1/chat/completions", body); status != want || !strings.Contains(text, `"error"`) {
			t.Errorf("%.60s = %d %s, want %d", body, status, text, want)
		}
	}
	loading := serve(t, wire.SimSpec{LoadMillis: 60_000})
	if status, _ := call(t, loading+"/v1/chat/completions", hello+"}"); status != http.StatusServiceUnavailable {
		t.Errorf("while loading: %d", status)
	}
}

func TestMetrics_haveVLLMsNames(t *testing.T) {
	t.Parallel()
	base := serve(t, wire.SimSpec{})
	call(t, base+"/v1/completions", `{"model":"inventiv/simulated-chat","prompt":"four","max_tokens":5}`)
	call(t, base+"/v1/embeddings", `{"model":"inventiv/simulated-chat","input":["a","b"]}`)
	res, err := http.Get(base + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`vllm:generation_tokens_total{model_name="inventiv/simulated-chat"} 5`, `vllm:prompt_tokens_total{model_name="inventiv/simulated-chat"} 4`,
		`vllm:num_requests_running{model_name="inventiv/simulated-chat"} 0`, "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc",
	} {
		if !strings.Contains(string(text), line) {
			t.Errorf("missing %s in\n%s", line, text)
		}
	}
}
