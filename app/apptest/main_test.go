package apptest_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/app"
)

var (
	kills   = flag.Int("kills", 20, "processes to kill in the kill matrix")
	away    = flag.Duration("away", 5*time.Second, "how long PostgreSQL is away")
	figures = flag.String("figures", "", "file to write the tests' figures to")
)

// TestMain runs the tests, or is one of their processes: the program itself
// when its first argument is one of its commands.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		if os.Args[1] == "engine" {
			fmt.Fprintln(os.Stderr, serveEngine(os.Args[2], os.Args[3]))
			os.Exit(1)
		}
		os.Exit(app.Main("test", os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
	}
	_ = flag.Set("test.parallel", "4") // they wait for other processes most of the time
	code := m.Run()
	if err := writeFigures(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
