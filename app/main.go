package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/inventiv-it-for-ai/inventiv/app/cli"
	"github.com/inventiv-it-for-ai/inventiv/app/config"
	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

// process is what the commands share.
type process struct {
	version        string
	environ        []string
	stdout, stderr io.Writer
}

// Main runs the command line and returns the exit code. SIGINT and SIGTERM end
// it in order; a second one at once.
func Main(version string, args, environ []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM) //nolint:forbidigo // the first context
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal has its ordinary effect

	p := &process{version: version, environ: environ, stdout: stdout, stderr: stderr}
	root := p.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	return p.report(err)
}

// report writes an error for people and returns its exit code.
func (p *process) report(err error) int {
	if failed, ok := errors.AsType[*cli.Failure](err); ok {
		failed.Write(p.stderr)
		return int(failed.Exit)
	}
	if bad, ok := errors.AsType[*config.Error](err); ok {
		fmt.Fprintln(p.stderr, bad)
		return 2
	}
	f := fault.As(err)
	if f == nil {
		fmt.Fprintf(p.stderr, "error: %v\n", err)
		return 1
	}
	fmt.Fprintf(p.stderr, "error: %s\n", f.Text)
	if f.Fix != "" {
		fmt.Fprintf(p.stderr, "fix: %s\n", f.Fix)
	}
	if f.Code == fault.NotFound {
		return int(cli.ExitNotFound)
	}
	return 1
}

func (p *process) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "inventiv",
		Short: "A private OpenAI-compatible inference service on rented or owned GPUs",
		Args:  cli.OnlyCommands, SilenceUsage: true, SilenceErrors: true, Version: p.version,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(cli.WrongFlag)
	root.AddCommand(p.serveCommand(), p.agentCommand(), p.migrateCommand(), p.dbCommand(), p.adminCommand(), p.masterKeyCommand(), p.doctorCommand(), p.versionCommand())
	root.AddCommand(cli.Commands(cli.Config{
		Version: p.version, Environ: p.environ, Root: os.Geteuid() == 0, Stdin: os.Stdin, Stdout: p.stdout, Stderr: p.stderr,
		Terminal: isTerminal(os.Stdin) && isTerminal(p.stderr), Spool: inspectSpool,
	})...)
	return root
}

// group returns a command that only has others below it.
func group(use, short string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cli.OnlyCommands,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
}

// read fills the settings of a command from its flags and the environment.
func (p *process) read(r *config.Reader) error {
	effective, err := r.Read(config.Source{Environ: p.environ, Root: os.Geteuid() == 0})
	if err != nil {
		return err //nolint:wrapcheck // every problem as a sentence
	}
	for _, notice := range effective.Notices {
		fmt.Fprintln(p.stderr, notice)
	}
	return nil
}

func (p *process) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cli.Exactly("version"),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(p.stdout, p.version)
			return err //nolint:wrapcheck // nothing to add
		},
	}
}
