package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/inventiv-it-for-ai/inventiv/app/config"
)

// Config is what the commands need of the process they run in.
type Config struct {
	Version        string
	Environ        []string
	Root           bool // the process runs as root
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Terminal       bool // somebody is there to answer: standard input and error are a terminal

	Spool func(dir string) ([]SpoolFile, error) // looks at a usage spool on this host
}

// Commands returns the nouns with their verbs, to be added to the root.
func Commands(c Config) []*cobra.Command {
	return []*cobra.Command{
		c.deployments(), c.instances(), c.nodes(), c.endpoints(), c.models(), c.keys(), c.members(), c.limits(), c.audit(), c.usage(), c.costs(),
	}
}

// noun is a command with verbs below it.
type noun struct {
	Config

	cmd    *cobra.Command
	cfg    config.Client
	reader *config.Reader
	output string
}

func (c Config) noun(name, short string) *noun {
	n := &noun{Config: c}
	n.cmd = &cobra.Command{
		Use: name, Short: short, SilenceUsage: true, SilenceErrors: true,
		Args: func(cmd *cobra.Command, args []string) error { return n.fail(OnlyCommands(cmd, args)) },
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	n.cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return n.fail(WrongFlag(cmd, err)) })
	n.reader = config.Register(n.cmd.PersistentFlags(), &n.cfg)
	n.cmd.PersistentFlags().StringVarP(&n.output, "output", "o", "table", "how to write the answer: table or json")
	return n
}

// OnlyCommands refuses the arguments of a command that has others below it: what
// follows it is none of theirs. It names the nearest ones.
func OnlyCommands(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	f := mistake(fmt.Sprintf("There is no command %q.", cmd.CommandPath()+" "+printable(args[0])), "See "+cmd.CommandPath()+" --help.")
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		f.Fix = "Did you mean " + strings.Join(near, " or ") + "?"
	}
	return f
}

// Exactly returns what refuses the arguments of a command unless they are as
// many as use names in capitals after the command's own name.
func Exactly(use string) cobra.PositionalArgs {
	words := strings.Fields(use)[1:]
	return func(cmd *cobra.Command, args []string) error {
		fix := "Write " + strings.Join(append([]string{cmd.CommandPath()}, words...), " ") + "."
		switch {
		case len(args) < len(words):
			return mistake(words[len(args)]+" is missing.", fix)
		case len(args) > len(words):
			return mistake(fmt.Sprintf("%q is one argument too many.", printable(args[len(words)])), fix)
		}
		return nil
	}
}

// WrongFlag makes a sentence of what cobra says about a flag.
func WrongFlag(cmd *cobra.Command, err error) error {
	text := err.Error()
	return mistake(strings.ToUpper(text[:1])+strings.TrimSuffix(text[1:], ".")+".", "See "+cmd.CommandPath()+" --help.")
}

// call is one run of a verb.
type call struct {
	context.Context //nolint:containedctx // a call lives as long as its command runs

	*client
	printer

	args   []string
	config Config
	yes    bool
}

// verb adds a verb. use names its arguments in capitals: all are needed, and no
// more are taken.
func (n *noun) verb(use, short string, run func(*call) error) *cobra.Command {
	exactly := Exactly(use)
	cmd := &cobra.Command{
		Use: use, Short: short, SilenceUsage: true, SilenceErrors: true, ValidArgsFunction: cobra.NoFileCompletions,
		Args: func(cmd *cobra.Command, args []string) error { return n.fail(exactly(cmd, args)) },
	}
	n.run(cmd, run)
	n.cmd.AddCommand(cmd)
	return cmd
}

// run says what a verb does.
func (n *noun) run(cmd *cobra.Command, run func(*call) error) {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		signal.Ignore(syscall.SIGPIPE) // a reader that has seen enough is not an error
		c, err := n.start(cmd, args)
		if err == nil {
			err = run(c)
		}
		if closedPipe(err) {
			return nil
		}
		return n.fail(err)
	}
}

// start reads the settings for a run.
func (n *noun) start(cmd *cobra.Command, args []string) (*call, error) {
	if n.output != "table" && n.output != "json" {
		return nil, mistake(fmt.Sprintf("There is no output %q.", printable(n.output)), "Use table or json.")
	}
	effective, err := n.reader.Read(config.Source{Environ: n.Environ, Root: n.Root})
	if err != nil {
		return nil, settings(err)
	}
	for _, notice := range effective.Notices {
		fmt.Fprintln(n.Stderr, notice)
	}
	yes := false
	if f := cmd.Flags().Lookup("yes"); f != nil {
		yes = f.Value.String() == "true"
	}
	return &call{
		Context: cmd.Context(), client: newClient(n.cfg, n.Version), printer: printer{n.Stdout, n.output == "json"},
		args: args, config: n.Config, yes: yes,
	}, nil
}

// fail gives an error the form that was asked for.
func (n *noun) fail(err error) error {
	if err == nil {
		return nil
	}
	f, ok := errors.AsType[*Failure](err)
	if !ok {
		f = &Failure{Exit: ExitFailed, Text: "The answer could not be written: " + err.Error() + ".", Code: "not_written"}
	}
	f.asJSON = n.output == "json"
	return f
}

// dangerous gives a verb the flag that answers its question beforehand.
func dangerous(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolP("yes", "y", false, "do not ask")
	return cmd
}

// confirm asks whether to go on with something that cannot be taken back.
func (c *call) confirm(what string) error {
	if c.yes {
		return nil
	}
	if !c.config.Terminal {
		return mistake("This cannot be taken back, and nobody is there to be asked.", "Add --yes to "+what+".")
	}
	fmt.Fprintf(c.config.Stderr, "This will %s. Go on? [y/N] ", what)
	line, err := bufio.NewReader(c.config.Stdin).ReadString('\n')
	if answer := strings.ToLower(strings.TrimSpace(line)); answer == "y" || answer == "yes" {
		return nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	return &Failure{Exit: ExitFailed, Text: "Nothing was done.", Code: "not_confirmed"}
}

// names completes the first argument with what a list has in a field.
func (n *noun) names(cmd *cobra.Command, path, field string) {
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		c, err := n.start(cmd, args)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var answer row
		if err := c.get(path, nil, &answer); err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var found []string
		for _, r := range answer.rows("items") {
			found = append(found, r.text(field))
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}
