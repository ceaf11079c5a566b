package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/inventiv-it-for-ai/inventiv/app/config"
)

// Health is how well a part is.
type Health string

// The healths.
const (
	Good Health = "ok"
	Warn Health = "warn" // it works, but somebody should look
	Bad  Health = "fail" // it will not work
)

// Finding is what a check found.
type Finding struct {
	Check  string `json:"check"`
	Health Health `json:"health"`
	Text   string `json:"text"`
	Fix    string `json:"fix,omitempty"`
}

// Check looks at one part of an installation. Its name is filled in.
type Check struct {
	Name string
	Look func(context.Context, config.Serve) Finding
}

func good(format string, args ...any) Finding {
	return Finding{Health: Good, Text: fmt.Sprintf(format, args...)}
}

// Doctor returns the command that looks at an installation from the host it
// runs on, with the settings that serve would read, and changes nothing. It
// fails when a check does. more are the checks of what this package does not
// know; they come after the settings.
func Doctor(c Config, more ...Check) *cobra.Command {
	var cfg config.Serve
	var output string
	cmd := &cobra.Command{
		Use: "doctor", Short: "Look for what is wrong with this installation", SilenceUsage: true, SilenceErrors: true, Args: Exactly("doctor"),
		Long: "Look for what is wrong with this installation.\n\nIt takes the settings of serve and changes nothing. Each line says ok, warn or fail; fail ends with exit code 1.",
	}
	reader := config.Register(cmd.Flags(), &cfg)
	cmd.Flags().StringVarP(&output, "output", "o", "table", "how to write the findings: table or json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if output != "table" && output != "json" {
			return mistake(fmt.Sprintf("There is no output %q.", printable(output)), "Use table or json.")
		}
		findings := settingsFindings(reader, c)
		if findings[0].Health != Bad {
			for _, check := range append(more, c.checks()...) {
				f := check.Look(cmd.Context(), cfg)
				f.Check = check.Name
				findings = append(findings, f)
			}
		}
		if err := writeFindings(printer{c.Stdout, output == "json"}, findings); err != nil && !closedPipe(err) {
			return err
		}
		bad := 0
		for _, f := range findings {
			if f.Health == Bad {
				bad++
			}
		}
		if bad == 0 {
			return nil
		}
		return &Failure{
			Exit: ExitFailed, Text: fmt.Sprintf("%d of %d checks failed.", bad, len(findings)), Fix: "Each of them says what to do.", Code: "unhealthy",
			asJSON: output == "json",
		}
	}
	return cmd
}

// settingsFindings reads the settings; what is wrong with them is a finding
// each.
func settingsFindings(reader *config.Reader, c Config) []Finding {
	effective, err := reader.Read(config.Source{Environ: c.Environ, Root: c.Root})
	if err != nil {
		bad, ok := errors.AsType[*config.Error](err)
		if !ok {
			return []Finding{{Check: "settings", Health: Bad, Text: err.Error()}}
		}
		var all []Finding
		for _, p := range bad.Problems {
			all = append(all, Finding{"settings", Bad, p.Text, p.Fix})
		}
		return all
	}
	given := 0
	for _, v := range effective.Values {
		if v.Origin != config.OriginDefault {
			given++
		}
	}
	all := []Finding{{Check: "settings", Health: Good, Text: fmt.Sprintf("%d given, the others have their defaults.", given)}}
	for _, notice := range effective.Notices {
		all = append(all, Finding{Check: "settings", Health: Warn, Text: notice})
	}
	return all
}

func writeFindings(p printer, findings []Finding) error {
	if p.asJSON {
		return p.json(findings)
	}
	for _, f := range findings {
		if _, err := fmt.Fprintf(p.w, "%-4s  %-10s  %s\n", f.Health, f.Check, strings.ReplaceAll(f.Text, "\n", " ")); err != nil {
			return err
		}
		if f.Fix != "" && f.Health != Good {
			if _, err := fmt.Fprintf(p.w, "%-4s  %-10s  fix: %s\n", "", "", f.Fix); err != nil {
				return err
			}
		}
	}
	return nil
}
