// Command inventiv turns rented or owned GPUs into a private OpenAI-compatible
// inference service.
package main

import (
	"os"

	"github.com/inventiv-it-for-ai/inventiv/app"
)

// version is set when the binary is linked.
var version = "unknown" //nolint:gochecknoglobals // the linker's way in

func main() { os.Exit(app.Main(version, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)) }
