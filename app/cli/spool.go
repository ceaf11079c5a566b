package cli

import (
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/inventiv-it-for-ai/inventiv/app/config"
)

// SpoolFile is what is in one file of a usage spool.
type SpoolFile struct {
	Name        string
	Bytes       int64
	Completed   int
	Interrupted int
	Open        int // requests without a final record
	BadBytes    int // no record
}

// spool adds the verb that looks at a spool folder. It asks no server: a spool
// matters most when there is none.
func (n *noun) spool() {
	var cfg config.Data
	cmd := n.verb("spool", "Look at the usage on this host's disk that waits for the database", nil)
	cmd.Long = "Look at the usage on this host's disk that waits for the database.\n\n" +
		"It changes nothing and may be used while serve runs. Final records (completed, interrupted) may be stored already: a file is deleted\n" +
		"once all of it is. Requests that are open have no final record yet; those of a killed serve become interrupted at its next start.\n" +
		"Bad bytes are damage; a copy of a damaged file is kept in quarantine, as are records that the database refuses."
	reader := config.Register(cmd.Flags(), &cfg)
	n.run(cmd, func(c *call) error {
		if _, err := reader.Read(config.Source{Environ: n.Environ, Root: n.Root}); err != nil {
			return settings(err)
		}
		dir := filepath.Join(cfg.DataDir, "spool")
		files, err := n.Spool(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return &Failure{
				Exit: ExitNotFound, Text: "There is no usage spool at " + dir + ".",
				Fix: "Name the data folder of serve with --data-dir, or INVENTIV_DATA_DIR.", Code: "not_found",
			}
		case err != nil:
			return &Failure{Exit: ExitFailed, Text: "The usage spool cannot be read.", Why: err.Error(), Fix: "Use the user that runs serve.", Code: "not_readable"}
		}
		rows := make([]row, len(files))
		for i, f := range files {
			rows[i] = row{
				"file": f.Name, "bytes": f.Bytes, "completed": f.Completed, "interrupted": f.Interrupted, "open": f.Open, "bad_bytes": f.BadBytes,
			}
		}
		return c.list([]column{
			col("FILE", "file"), col("BYTES", "bytes"), col("COMPLETED", "completed"), col("INTERRUPTED", "interrupted"), col("OPEN", "open"), col("BAD BYTES", "bad_bytes"),
		}, rows)
	})
}
