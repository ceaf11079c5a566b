package catalog_test

import (
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/modules/catalog"
)

// The original tried substrings in order, so 12b, 22b, 32b and 72b were taken
// for 2b, and its resize path ignored what was stored.
func TestDefect06_07_whatVolumeIsRecommended(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{
		"Qwen/Qwen2.5-0.5B-Instruct":            50,
		"Qwen/Qwen3-0.6B":                       50,
		"meta-llama/Llama-3.2-1B":               70,
		"Qwen/Qwen2.5-1.5B-Instruct":            70,
		"google/gemma-2-2b-it":                  70,
		"mistralai/Mistral-7B-Instruct-v0.2":    100,
		"meta-llama/Llama-3.1-8B-Instruct":      100,
		"google/gemma-2-9b-it":                  100,
		"mistralai/Mistral-Nemo-12B":            120,
		"meta-llama/Llama-2-13b-chat-hf":        120,
		"Qwen/Qwen2.5-14B-Instruct":             120,
		"mistralai/Codestral-22B-v0.1":          180,
		"google/gemma-2-27b-it":                 180,
		"Qwen/Qwen3-30B-A3B":                    180,
		"Qwen/Qwen2.5-32B-Instruct":             180,
		"Qwen/Qwen2.5-72B-Instruct":             450,
		"meta-llama/Llama-3.1-70B":              450,
		"mistralai/Mixtral-8x7B-Instruct-v0.1":  450,
		"mistralai/Mixtral-8x22B-Instruct-v0.1": 1100,
		"meta-llama/Llama-3.1-405B":             2550,
		"absurd-99999999999b":                   10_000,
		"microsoft/Phi-3-mini-4k-instruct":      200,
		"bert-base":                             200,
		"":                                      200,
	} {
		if got := catalog.RecommendedVolumeGB(name, 0); got != want {
			t.Errorf("%q: %d GB, want %d", name, got, want)
		}
		if got := catalog.RecommendedVolumeGB(name, 77); got != 77 {
			t.Errorf("%q with 77 GB stored: %d GB; the stored value comes first", name, got)
		}
	}
}
