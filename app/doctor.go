package app

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/inventiv-it-for-ai/inventiv/app/cli"
	"github.com/inventiv-it-for-ai/inventiv/app/config"
	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/keyring"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/db/cluster"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/spool"
)

// doctorCommand looks at an installation, with the checks that need the
// database.
func (p *process) doctorCommand() *cobra.Command {
	return cli.Doctor(cli.Config{Environ: p.environ, Root: os.Geteuid() == 0, Stdout: p.stdout, Spool: inspectSpool},
		cli.Check{Name: "programs", Look: checkPrograms},
		cli.Check{Name: "database", Look: checkDatabase},
	)
}

// unwell is a failed check, with the fault's own sentence and advice.
func unwell(err error) cli.Finding {
	f := fault.As(err)
	if f == nil {
		f = fault.New(fault.Internal, err.Error())
	}
	return cli.Finding{Health: cli.Bad, Text: f.Text, Fix: f.Fix}
}

// checkPrograms looks for the PostgreSQL programs of an embedded database.
func checkPrograms(_ context.Context, cfg config.Serve) cli.Finding {
	if cfg.DatabaseURL.Reveal() != "" {
		return cli.Finding{Health: cli.Good, Text: "Not needed: the database is not ours."}
	}
	dir, err := cluster.FindBinaries(cfg.PGBin, filepath.Join(cfg.DataDir, "pg", "data"))
	if err != nil {
		return unwell(err)
	}
	return cli.Finding{Health: cli.Good, Text: "PostgreSQL is in " + dir + "."}
}

// checkDatabase looks whether the database answers, has this binary's migrations
// and, when secrets in it are sealed, that there is a ring. It starts none.
func checkDatabase(ctx context.Context, cfg config.Serve) cli.Finding {
	url := cfg.DatabaseURL.Reveal()
	if url == "" {
		var err error
		if url, err = cluster.Running(filepath.Join(cfg.DataDir, "pg")); err != nil {
			return cli.Finding{Health: cli.Warn, Text: "The embedded database does not run, or not for this user to see.", Fix: "It runs while inventiv serve does."}
		}
	}
	pool, err := db.Open(ctx, url, db.Options{MaxConns: 2, ConnectWait: 3 * time.Second})
	if err != nil {
		return unwell(err)
	}
	defer pool.Close()
	switch missing, err := missingMigration(ctx, pool); {
	case err != nil:
		return unwell(err)
	case missing != "":
		return cli.Finding{Health: cli.Warn, Text: "It answers, but " + missing + " is not applied.", Fix: "Start inventiv serve, or run inventiv migrate up."}
	}
	if named, err := auth.KeyringNamed(ctx, pool); err != nil {
		return unwell(err)
	} else if named {
		if _, err := keyring.Load(cfg.MasterKeyFile); err != nil {
			return unwell(err)
		}
	}
	return cli.Finding{Health: cli.Good, Text: "It answers and is up to date."}
}

// inspectSpool looks at a usage spool for the client verb.
func inspectSpool(dir string) ([]cli.SpoolFile, error) {
	files, err := spool.Inspect(dir)
	if err != nil {
		return nil, err //nolint:wrapcheck // the verb makes a sentence of it
	}
	list := make([]cli.SpoolFile, len(files))
	for i, f := range files {
		list[i] = cli.SpoolFile(f)
	}
	return list, nil
}
