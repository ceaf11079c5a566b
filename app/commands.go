package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/inventiv-it-for-ai/inventiv/app/cli"
	"github.com/inventiv-it-for-ai/inventiv/app/config"
	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/migrations"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
)

// gcPercent trades memory for time, unless GOGC says otherwise: what lives is some
// ten megabytes. 200 would take 5 MB more at 256 streams, and no less time.
const gcPercent = 150

func (p *process) serveCommand() *cobra.Command {
	var cfg config.Serve
	cmd := &cobra.Command{
		Use: "serve", Short: "Run the control plane, the gateway and the console", Args: cli.Exactly("serve"),
		Long: "Run the control plane, the gateway and the console in one process.\n\n" +
			"Without a database URL it runs a PostgreSQL of its own in the data folder.\n" +
			"With --demo it also makes an organisation, a key and a served model, all on this host.",
	}
	reader := config.Register(cmd.Flags(), &cfg)
	cmd.RunE = func(c *cobra.Command, _ []string) error {
		if err := p.read(reader); err != nil {
			return err
		}
		if cfg.Demo {
			if err := forgetDemo(cfg.DataDir); err != nil {
				return err
			}
		}
		log := newLog(cfg.Log, p.stderr)
		if !slices.ContainsFunc(p.environ, func(e string) bool { return strings.HasPrefix(e, "GOGC=") }) {
			debug.SetGCPercent(gcPercent)
		}
		a, err := New(c.Context(), cfg, p.version, log)
		if err != nil {
			return err
		}
		if cfg.Demo {
			return a.runDemo(c.Context(), p.stdout)
		}
		if err := a.firstAdmin(c.Context(), p); err != nil {
			return errors.Join(err, a.close(context.WithoutCancel(c.Context())))
		}
		return a.Run(c.Context())
	}
	return cmd
}

// firstAdmin makes sure that somebody can sign in, and prints how.
func (a *App) firstAdmin(ctx context.Context, p *process) error {
	token, err := a.auth.BootstrapAdmin(ctx, a.cfg.AdminEmail, a.cfg.AdminPassword.Reveal())
	if err != nil {
		return fmt.Errorf("make the first admin: %w", err)
	}
	if token != "" {
		fmt.Fprintf(p.stdout, "Nobody can sign in yet. Choose the admin's password within 24 hours, once, at\n\n  %s/setup/%s\n\n", a.site, token)
		return nil
	}
	return a.firstOrganisation(ctx)
}

// firstOrganisation gives an admin who came with a password a place to work in;
// one who comes by the link names it himself.
func (a *App) firstOrganisation(ctx context.Context) error {
	password := a.cfg.AdminPassword.Reveal()
	if password == "" {
		return nil
	}
	session, err := a.auth.SignIn(ctx, a.cfg.AdminEmail, password, auth.Client{UserAgent: "inventiv serve"})
	if fault.Is(err, fault.Signin) {
		return nil // the password was changed since
	}
	if err != nil {
		return fmt.Errorf("make the first organisation: %w", err)
	}
	actor, err := a.auth.Authenticate(ctx, session)
	if err != nil {
		return fmt.Errorf("make the first organisation: %w", err)
	}
	return errors.Join(a.ensureOrganisation(ctx, actor, "My organisation", false), a.auth.EndSession(ctx, actor, actor.SessionID))
}

// onDatabase runs fn with the database of the settings, without migrating it.
func (p *process) onDatabase(ctx context.Context, cfg config.Store, fn func(*store) error) (err error) {
	s, err := openDatabase(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	return fn(s)
}

func (p *process) agentCommand() *cobra.Command {
	var cfg config.Agent
	cmd := &cobra.Command{
		Use: "agent", Short: "Run the daemon of a GPU node, beside its engine", Args: cli.Exactly("agent"),
		Long: "Run the daemon of a GPU node. It joins the control plane with a one-time token, runs the engine it is told to,\n" +
			"reports, and answers the requests that come back through the connections it makes. It opens no port to the network.",
	}
	reader := config.Register(cmd.Flags(), &cfg)
	cmd.RunE = func(c *cobra.Command, _ []string) error {
		if err := p.read(reader); err != nil {
			return err
		}
		id, err := uuid.Parse(cfg.Instance)
		if err != nil {
			return &config.Error{Problems: []*fault.Error{
				fault.Newf(fault.Invalid, "INVENTIV_AGENT_INSTANCE is %q, which is not the id of an instance.", cfg.Instance).
					WithFix("Copy it from inventiv instances get NAME."),
			}}
		}
		return agent.Run(c.Context(), agent.Config{
			StateDir: cfg.StateDir, Instance: id, Endpoints: cfg.Endpoint, CAFile: cfg.CAFile, TokenFile: cfg.TokenFile, Listen: cfg.Listen,
			Version: p.version, Environ: p.environ,
		}, newLog(cfg.Log, p.stderr))
	}
	return cmd
}

func (p *process) migrateCommand() *cobra.Command {
	parent := group("migrate", "Bring the database up to this binary, or say how far it is")
	for _, verb := range []struct {
		name, short string
		run         func(context.Context, *store) error
	}{
		{"up", "Apply the migrations that are missing", func(ctx context.Context, s *store) error {
			n, err := db.Migrate(ctx, s.pool, migrations.FS)
			fmt.Fprintf(p.stdout, "%d migrations applied.\n", n)
			return err //nolint:wrapcheck // says enough
		}},
		{"status", "List the migrations and when each was applied", func(ctx context.Context, s *store) error {
			list, err := db.Migrations(ctx, s.pool, migrations.FS)
			for _, m := range list {
				when := "not applied"
				if !m.AppliedAt.IsZero() {
					when = m.AppliedAt.UTC().Format(time.RFC3339)
				}
				fmt.Fprintf(p.stdout, "%-28s %s\n", m.Name, when)
			}
			return err //nolint:wrapcheck // says enough
		}},
	} {
		var cfg config.Store
		cmd := &cobra.Command{Use: verb.name, Short: verb.short, Args: cli.Exactly(verb.name)}
		reader := config.Register(cmd.Flags(), &cfg)
		cmd.RunE = func(c *cobra.Command, _ []string) error {
			if err := p.read(reader); err != nil {
				return err
			}
			return p.onLiveDatabase(c.Context(), cfg, func(s *store) error { return verb.run(c.Context(), s) })
		}
		parent.AddCommand(cmd)
	}
	return parent
}

func (p *process) dbCommand() *cobra.Command {
	parent := group("db", "Find the database")
	var cfg config.Store
	cmd := &cobra.Command{
		Use: "url", Short: "Print the connection string in use, with its password if it has one", Args: cli.Exactly("url"),
		Long: "Print the connection string in use. For the embedded database it works while inventiv serve runs,\nas the user that runs it: psql \"$(inventiv db url)\".",
	}
	reader := config.Register(cmd.Flags(), &cfg)
	cmd.RunE = func(*cobra.Command, []string) error {
		if err := p.read(reader); err != nil {
			return err
		}
		url := cfg.DatabaseURL.Reveal()
		if url == "" {
			var err error
			if url, err = embeddedURL(cfg); err != nil {
				return err
			}
		}
		_, err := fmt.Fprintln(p.stdout, url)
		return err //nolint:wrapcheck // nothing to add
	}
	parent.AddCommand(cmd)
	return parent
}

func (p *process) adminCommand() *cobra.Command {
	parent := group("admin", "Let somebody back in who locked himself out")
	for _, verb := range []struct{ use, short string }{
		{"setup-url", "Print a one-time link with which the platform admin chooses a password"},
		{"reset-password EMAIL", "Print a one-time link with which a user chooses a new password"},
	} {
		var cfg config.Serve
		cmd := &cobra.Command{
			Use: verb.use, Short: verb.short, Args: cli.Exactly(verb.use),
			Long: verb.short + ".\n\nGive it the settings of serve: the link begins with --public-url, or else with --listen.",
		}
		reader := config.Register(cmd.Flags(), &cfg)
		cmd.RunE = func(c *cobra.Command, args []string) error {
			if err := p.read(reader); err != nil {
				return err
			}
			return p.onLiveDatabase(c.Context(), cfg.Store, func(s *store) error {
				return p.printLink(c.Context(), s, cfg, strings.Join(args, "")) // none names the platform admin
			})
		}
		parent.AddCommand(cmd)
	}
	return parent
}

// printLink makes a one-time link for a user, or the platform admin, and prints it.
func (p *process) printLink(ctx context.Context, s *store, cfg config.Serve, email string) error {
	switch missing, err := missingMigration(ctx, s.pool); {
	case err != nil:
		return err
	case missing != "":
		return fault.New(fault.Unavailable, "The database is not up to date: it lacks "+missing+".").
			WithFix("Start inventiv serve, or run inventiv migrate up.")
	}
	ring, err := openRing(ctx, s.pool, cfg.MasterKeyFile)
	if err != nil {
		return err
	}
	token, address, err := auth.New(s.pool, ring, slog.New(slog.DiscardHandler), auth.Options{}).SetupLink(ctx, email)
	if err != nil {
		return err //nolint:wrapcheck // a sentence for people
	}
	_, err = fmt.Fprintf(p.stdout, "%s chooses a password, once and soon, at\n\n  %s/setup/%s\n", address, cfg.Site(cfg.Listen), token)
	return err //nolint:wrapcheck // nothing to add
}
