package app

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

func TestAskModel_saysWhyAnEngineIsNone(t *testing.T) {
	t.Parallel()
	for command, says := range map[string]string{
		"no-such-engine --port {port}": `"no-such-engine"`,
		"false {port}":                 "ends before it serves",
		"'unclosed {port}":             "not closed",
		"  ":                           "empty",
	} {
		_, err := askModel(t.Context(), command, filepath.Join(t.TempDir(), "log"))
		if !fault.Is(err, fault.Invalid) || !strings.Contains(fault.As(err).Text, says) {
			t.Errorf("%s: %v; want a refusal with %s", command, err, says)
		}
	}
}
