// Package cluster runs a private PostgreSQL for a process that was given no
// database: created on first use, reached through a Unix socket only, durable,
// and gone when the process is.
//
// # What a crash leaves behind
//
// When we are killed, the kernel sends the postmaster SIGINT (Pdeathsig), which
// is its fast and clean shutdown. Whatever lives on all the same, a frozen
// postmaster or a backend deep in a query, the next start finds by the folder it
// works in and ends; then PostgreSQL recovers by itself. A postmaster.pid that
// nobody stands behind is removed: PostgreSQL takes any process of that number,
// even a zombie, for its owner and would refuse to start.
//
// A postmaster that dies while we live is started again, at once the first time
// and then with growing pauses.
//
// # Who may connect
//
// The socket lies in a folder of mode 0700 of the account that runs the server
// (and root); peer authentication maps that account, and the one we run as, to
// the superuser "inventiv". There is no password and, unless asked, no TCP.
package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

// Config says where the cluster lives.
type Config struct {
	Dir    string   // holds the data, the log and the lock; created
	BinDir string   // folder of the PostgreSQL binaries; empty: found
	Extra  []string // further settings, name=value; for tests that trade durability for speed
	Leave  bool     // share one server among processes and leave it running: for tests
	Log    *slog.Logger
}

// Cluster is a running PostgreSQL. Start makes one.
type Cluster struct {
	cfg    Config
	bin    string
	data   string
	socket string
	owner  account
	lock   *os.File

	server *server            // the keeper's
	end    context.CancelFunc // tells the keeper to end
	over   chan struct{}      // closed when the keeper has ended
}

// Start brings the cluster up and returns when it accepts connections; ctx
// bounds that only, Stop ends the cluster. It fails with fault.Conflict when
// another process has this folder, with fault.Unavailable when there are no
// binaries or the data was written by another major version, and with
// fault.Invalid when the folder cannot be written.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("resolve the data folder: %w", err)
	}
	cfg.Dir = dir
	c := &Cluster{cfg: cfg, data: filepath.Join(dir, "data"), over: make(chan struct{})}
	if c.bin, err = FindBinaries(cfg.BinDir, c.data); err != nil {
		return nil, err
	}
	if c.owner, err = serverAccount(c.data); err != nil {
		return nil, err
	}
	if err := c.prepare(); err != nil {
		return nil, err
	}
	if err := c.boot(ctx); err != nil {
		c.unlock()
		return nil, err
	}
	keeping, end := context.WithCancel(context.WithoutCancel(ctx))
	c.end = end
	if cfg.Leave {
		c.unlock()
		close(c.over)
		return c, nil
	}
	go c.keep(keeping)
	return c, nil
}

// Running returns the connection string of the cluster in dir that another
// process runs now, for commands that look on. It fails with fault.Unavailable
// when none runs there.
func Running(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("resolve the data folder: %w", err)
	}
	socket := serving(filepath.Join(dir, "data"))
	if socket == "" {
		return "", fault.Newf(fault.Unavailable, "No embedded database runs in %s that this user can see.", dir).
			WithFix("Start inventiv serve, as the same user and with the same --data-dir.")
	}
	return urlOf(socket, database), nil
}

// database is the one that the cluster is for.
const database = "inventiv"

// URL returns the connection string of the cluster's database.
func (c *Cluster) URL() string { return urlOf(c.socket, database) }

func urlOf(socket, name string) string {
	q := url.Values{"host": {socket}, "user": {"inventiv"}, "sslmode": {"disable"}}
	return "postgres:///" + name + "?" + q.Encode()
}

// Stop shuts the server down, fast and clean: sessions are ended, data is
// written, no recovery is needed at the next start. It may be called twice.
func (c *Cluster) Stop(ctx context.Context) error {
	c.end()
	select {
	case <-c.over:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop the embedded PostgreSQL: %w", ctx.Err())
	}
}

// A server that lived this long died of something new: the next start is tried
// at once. Else the pauses grow, up to the longest.
const (
	longLife     = time.Minute
	firstPause   = 50 * time.Millisecond
	longestPause = 5 * time.Second
)

// keep starts a server again that died by itself, and ends it with ctx.
func (c *Cluster) keep(ctx context.Context) {
	defer close(c.over)
	defer c.unlock()
	var pause time.Duration
	for {
		born := time.Now()
		select {
		case <-ctx.Done():
			c.server.stop()
			return
		case <-c.server.dead:
		}
		c.cfg.Log.ErrorContext(ctx, "the embedded PostgreSQL died; starting it again", "log", c.logFile())
		if time.Since(born) > longLife {
			pause = 0
		}
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
			pause = min(max(2*pause, firstPause), longestPause)
			err := c.boot(ctx)
			if err == nil {
				break
			}
			c.cfg.Log.ErrorContext(ctx, "the embedded PostgreSQL does not start", "err", err)
		}
	}
}

// prepare makes the folders, takes the lock and creates the data folder's
// parents so that the server's account can reach them.
func (c *Cluster) prepare() error {
	unwritable := func(err error) error {
		return fault.Newf(fault.Invalid, "The data folder %s cannot be written: %s.", c.cfg.Dir, reason(err)).
			WithFix("Name another one with --data-dir, or give this user the right to write there.").WithField("DATA_DIR").WithCause(err)
	}
	if err := os.MkdirAll(c.cfg.Dir, 0o711); err != nil { //nolint:gosec // the server's own user must pass
		return unwritable(err)
	}
	lock, err := os.OpenFile(filepath.Join(c.cfg.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return unwritable(err)
	}
	how := unix.LOCK_EX | unix.LOCK_NB
	if c.cfg.Leave {
		how = unix.LOCK_EX // wait for whoever is starting it
	}
	if err := unix.Flock(int(lock.Fd()), how); err != nil {
		defer lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return fault.Newf(fault.Conflict, "Another inventiv%s already uses the database in %s.", holder(lock), c.cfg.Dir).
				WithFix("Stop it, or name another folder with --data-dir.").WithKind("data_dir_in_use")
		}
		return fmt.Errorf("lock the data folder: %w", err)
	}
	c.lock = lock
	if err := errors.Join(lock.Truncate(0), writeAt(lock, strconv.Itoa(os.Getpid()))); err != nil {
		c.unlock()
		return unwritable(err)
	}
	if c.owner.drop {
		if err := os.Chmod(c.cfg.Dir, 0o711); err != nil { //nolint:gosec // as above, also when it was there
			c.unlock()
			return unwritable(err)
		}
		if blocked := unreachableParent(c.cfg.Dir); blocked != "" {
			c.unlock()
			return fault.Newf(fault.Invalid, "PostgreSQL runs as the user %s here, who cannot enter %s.", c.owner.name, blocked).
				WithFix("Choose a data folder outside it with --data-dir (the default as root is /var/lib/inventiv).").WithField("DATA_DIR")
		}
	}
	if c.socket, err = c.socketDir(); err != nil {
		c.unlock()
		return err
	}
	return nil
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// holder names the process that holds the lock, when it has written its id.
func holder(lock *os.File) string {
	text := make([]byte, 20)
	n, _ := lock.ReadAt(text, 0) // it is shorter, or empty
	if pid, err := strconv.Atoi(string(text[:n])); err == nil {
		return fmt.Sprintf(" (process %d)", pid)
	}
	return ""
}

// unreachableParent returns the first folder on the way to dir that others may
// not enter, or nothing.
func unreachableParent(dir string) string {
	for p := filepath.Dir(dir); ; p = filepath.Dir(p) {
		if info, err := os.Stat(p); err == nil && info.Mode().Perm()&0o001 == 0 {
			return p
		}
		if p == filepath.Dir(p) {
			return ""
		}
	}
}

// socketDir makes the folder of the Unix socket. Its path must stay far below
// the 107 bytes a socket address holds, so it never lies in the data folder.
func (c *Cluster) socketDir() (string, error) {
	sum := sha256.Sum256([]byte(c.cfg.Dir))
	name := "inventiv-" + strconv.Itoa(os.Geteuid()) + "-" + hex.EncodeToString(sum[:6])
	base := os.TempDir()
	if os.Geteuid() == 0 {
		base = "/run" // not for users: theirs goes when they log out
	}
	if info, err := os.Stat(base); err != nil || !info.IsDir() || len(base) > 60 {
		base = "/tmp"
	}
	dir := filepath.Join(base, name)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("make the socket folder: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", fmt.Errorf("make the socket folder: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(st.Uid) != os.Geteuid() && int(st.Uid) != c.owner.uid {
		return "", fault.Newf(fault.Conflict, "%s belongs to somebody else; the database's socket cannot be put there.", dir).
			WithFix("Remove it, or set TMPDIR.")
	}
	if err := c.own(dir); err != nil {
		return "", fmt.Errorf("own the socket folder: %w", err)
	}
	return dir, nil
}

// own gives a folder to the server's user, and to nobody else.
func (c *Cluster) own(dir string) error {
	return errors.Join(os.Chmod(dir, 0o700), os.Lchown(dir, c.owner.uid, c.owner.gid)) //nolint:gosec // a folder needs its x
}

func (c *Cluster) logFile() string { return filepath.Join(c.cfg.Dir, "postgres.log") }

// unlock lets another process have the folder.
func (c *Cluster) unlock() {
	if !c.cfg.Leave {
		_ = os.Remove(c.socket) // it is empty, unless the shutdown was not clean
	}
	_ = c.lock.Close()
}

// reason returns the bare cause of a file error: "permission denied".
func reason(err error) string {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}
