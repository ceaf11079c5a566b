package app

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/inventiv-it-for-ai/inventiv/app/cli"
	"github.com/inventiv-it-for-ai/inventiv/app/config"
	"github.com/inventiv-it-for-ai/inventiv/app/keyring"
)

func (p *process) masterKeyCommand() *cobra.Command {
	parent := group("master-key", "Look at the keys for secrets at rest, or add a newer one")
	for _, verb := range []struct {
		name, short, long string
		run               func(path string) error
	}{
		{"list", "List the ids of the keys in the file, the one that seals first", "", p.listMasterKeys},
		{
			"add", "Add a key that seals from the next start on; the others go on opening",
			"\n\nTake the new file to every replica, and a copy of it to your backup; then restart them one after the other.", p.addMasterKey,
		},
	} {
		var cfg config.Store
		cmd := &cobra.Command{Use: verb.name, Short: verb.short, Long: verb.short + "." + verb.long, Args: cli.Exactly(verb.name)}
		reader := config.Register(cmd.Flags(), &cfg)
		cmd.RunE = func(*cobra.Command, []string) error {
			if err := p.read(reader); err != nil {
				return err
			}
			return verb.run(cfg.MasterKeyFile)
		}
		parent.AddCommand(cmd)
	}
	return parent
}

func (p *process) listMasterKeys(path string) error {
	ring, err := keyring.Load(path)
	if err != nil {
		return err //nolint:wrapcheck // a sentence for people
	}
	uses := map[bool]string{true: "seals", false: "opens"}
	for i, id := range ring.IDs() {
		fmt.Fprintln(p.stdout, id, uses[i == 0])
	}
	return nil
}

func (p *process) addMasterKey(path string) error {
	ring, err := keyring.Add(path)
	if err != nil {
		return err //nolint:wrapcheck // a sentence for people
	}
	_, err = fmt.Fprintf(p.stdout, `Added the key %s to %s.
Secrets are sealed with it by each inventiv serve from its next start on. Before the first of these,
  1. give every other replica this file, mode 0600,
  2. put a copy of it where your backups of the file are.
Keep the older keys in it: they open what they sealed, and API keys depend on the oldest.
`, ring.ID(), path)
	return err //nolint:wrapcheck // nothing to add
}
