package console

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
	"github.com/inventiv-it-for-ai/inventiv/views"
)

var logSources = []string{"engine", "agent", "operations"}

const (
	logTail = 200             // lines
	logWait = 2 * time.Second // for a node that is slow to answer
)

// tail reads the end of one of an instance's logs. When none was chosen, it is
// the first that has something to say.
func (p *Console) tail(ctx context.Context, a auth.Actor, d instance.Detail, source string) views.Log {
	switch {
	case slices.Contains(logSources, source):
		return p.read(ctx, a, d, source)
	case d.Node == nil || d.Node.JoinedAt == nil || d.State.Gone():
		return p.read(ctx, a, d, "operations")
	}
	if log := p.read(ctx, a, d, "engine"); len(log.Lines) > 0 {
		return log
	}
	return p.read(ctx, a, d, "agent")
}

// read reads the end of one log. A log that cannot be had is no reason not to
// show the page: it says why instead.
func (p *Console) read(ctx context.Context, a auth.Actor, d instance.Detail, source string) views.Log {
	log := views.Log{Source: source, Sources: logSources, Why: "Nothing has been written yet."}
	if source == "operations" {
		log.Lines = operations(d.Operations)
		return log
	}
	ctx, stop := context.WithTimeout(ctx, logWait)
	defer stop()
	raw, err := p.Instances.Log(ctx, a.Organisation, d.ID.String(), source, logTail)
	switch f := fault.As(err); {
	case err == nil:
		log.Lines = logLines(raw)
	case d.State.Gone():
		log.Why = "The machine is gone, and its log with it."
	case f != nil:
		log.Why = f.Text
	default:
		log.Why = "The node did not answer in time; it is asked again."
	}
	return log
}

// operations is what was asked of the provider, as lines.
func operations(all []instance.Operation) []views.LogLine {
	lines := make([]views.LogLine, 0, len(all))
	for _, o := range all {
		l := views.LogLine{At: o.PlannedAt, Text: strings.TrimSpace(string(o.Kind) + " " + o.Target + ": " + string(o.Status))}
		if o.Error != "" {
			l.Level, l.Text = "error", l.Text+", "+o.Error
		} else if o.Status == instance.OpAmbiguous {
			l.Level = "warn"
		}
		lines = append(lines, l)
	}
	return lines
}

// logLines reads JSON lines, as agents write, and plain ones, as engines do.
func logLines(raw []byte) []views.LogLine {
	var lines []views.LogLine
	scanner := bufio.NewScanner(bytes.NewReader(raw))
	scanner.Buffer(nil, len(raw)+1)
	for scanner.Scan() {
		text := strings.ToValidUTF8(scanner.Text(), "\ufffd")
		if text != "" {
			lines = append(lines, logLine(text))
		}
	}
	return lines
}

// ownKeys are shown in a place of their own, or are the page's subject.
var ownKeys = []string{"time", "ts", "at", "level", "msg", "message", "event", "line", "text", "kind", "instance"}

func logLine(text string) views.LogLine {
	var entry map[string]any
	if !strings.HasPrefix(text, "{") || json.Unmarshal([]byte(text), &entry) != nil {
		return views.LogLine{Text: text, Level: loudness(text)}
	}
	l := views.LogLine{}
	if at, err := time.Parse(time.RFC3339Nano, first(entry, "time", "ts", "at")); err == nil {
		l.At = at
	}
	switch strings.ToLower(first(entry, "level")) {
	case "warn", "warning":
		l.Level = "warn"
	case "error", "fatal":
		l.Level = "error"
	}
	l.Text = first(entry, "msg", "message", "event", "line", "text")
	var rest []string
	for k, v := range entry {
		switch v := v.(type) {
		case string:
			if v != "" && !slices.Contains(ownKeys, k) {
				rest = append(rest, k+"="+v)
			}
		case float64, bool:
			if b, err := json.Marshal(v); err == nil {
				rest = append(rest, k+"="+string(b))
			}
		}
	}
	slices.Sort(rest)
	l.Text = strings.TrimSpace(l.Text + "  " + strings.Join(rest, " "))
	return l
}

func first(entry map[string]any, keys ...string) string {
	for _, k := range keys {
		if s, ok := entry[k].(string); ok && s != "" {
			return s
		}
	}
	return ""
}

// loudness guesses a plain line's level from how engines write.
func loudness(text string) string {
	switch {
	case strings.Contains(text, "ERROR") || strings.Contains(text, "Traceback"):
		return "error"
	case strings.Contains(text, "WARN"):
		return "warn"
	}
	return ""
}
