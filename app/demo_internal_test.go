package app

import (
	"os"
	"path/filepath"
	"strconv"
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

func TestForgetDemo_leavesThatOfARunningOne(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pid  string
		kept bool
	}{
		"another process that runs": {strconv.Itoa(os.Getppid()) + "\n", true},
		"one that is gone":          {"2147483647\n", false},
		"this one's number":         {strconv.Itoa(os.Getpid()), false}, // as in a container that begins anew
		"nothing that is a number":  {"x", false},
		"nobody":                    {"", false},
	} {
		dir := t.TempDir()
		for file, text := range map[string]string{"demo.env": "export X='1'", pidFile: c.pid} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := forgetDemo(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "demo.env")); (err == nil) != c.kept {
			t.Errorf("%s is named: %v, want it kept: %t", name, err, c.kept)
		}
	}
	if err := forgetDemo(t.TempDir()); err != nil {
		t.Errorf("in an empty folder: %v", err)
	}
}
