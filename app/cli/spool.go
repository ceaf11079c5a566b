package cli

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/inventiv-it-for-ai/inventiv/app/config"
)

// SpoolFile is what is in one file of a usage spool.
type SpoolFile struct {
	Name        string
	Bytes       int64
	KeptBytes   int64 // of these, up to the last record that is stored
	Waiting     int   // final records that are not stored
	Completed   int
	Interrupted int
	Open        int // requests without a final record
	BadBytes    int // no record
}

// state says in a word why the file is there.
func (f SpoolFile) state() string {
	switch {
	case f.aside():
		return "set aside"
	case f.Waiting > 0:
		return "waiting"
	case f.Open > 0:
		return "in use"
	}
	return "kept"
}

// aside reports whether it holds what is damaged or was refused.
func (f SpoolFile) aside() bool {
	return strings.HasPrefix(f.Name, "quarantine"+string(filepath.Separator))
}

// spool adds the verb that looks at a spool folder. It asks no server: a spool
// matters most when there is none.
func (n *noun) spool() {
	var cfg config.Data
	cmd := n.verb("spool", "Look at the usage on this host's disk that waits for the database, or is kept after it", nil)
	cmd.Long = "Look at the usage on this host's disk that waits for the database, or is kept after it.\n\n" +
		"It changes nothing and may be used while serve runs. Waiting counts final records (completed, interrupted) that are not stored yet. A\n" +
		"file that is kept is stored whole and deleted after a minute, or once the disk has little room: until then it is delivered again if the\n" +
		"database turns out to have lost it, as in a failover. Requests that are open have no final record yet; those of a killed serve become\n" +
		"interrupted at its next start. Bad bytes are damage; a copy of a damaged file is set aside, as are records that the database refuses."
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
				"file": f.Name, "state": f.state(), "bytes": f.Bytes, "waiting": f.Waiting, "completed": f.Completed, "interrupted": f.Interrupted,
				"open": f.Open, "bad_bytes": f.BadBytes,
			}
		}
		return c.list([]column{
			col("FILE", "file"), col("STATE", "state"), col("BYTES", "bytes"), col("WAITING", "waiting"), col("COMPLETED", "completed"),
			col("INTERRUPTED", "interrupted"), col("OPEN", "open"), col("BAD BYTES", "bad_bytes"),
		}, rows)
	})
}
