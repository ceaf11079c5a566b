package app

import (
	"io"
	stdlog "log" //nolint:depguard // only as the type that net/http wants
	"log/slog"
	"os"

	"github.com/inventiv-it-for-ai/inventiv/app/config"
)

// newLog returns the process's log: text for a terminal, JSON for programs.
func newLog(cfg config.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.Level)) // checked with the settings
	options := &slog.HandlerOptions{Level: level}
	format := cfg.Format
	if format == "auto" {
		format = "json"
		if isTerminal(w) {
			format = "text"
		}
	}
	if format == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// quiet returns a logger for what net/http says of its own: peers that hang up
// or speak no TLS, which is of interest only when looking for it.
func quiet(log *slog.Logger) *stdlog.Logger { return slog.NewLogLogger(log.Handler(), slog.LevelDebug) }
