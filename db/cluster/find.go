package cluster

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

// FindBinaries returns the folder that holds initdb and postgres: dir when it is
// given, else the one of the major version that already wrote data, else the
// newest the distribution has, else PATH. It fails with fault.Unavailable and a
// sentence that says what to install.
func FindBinaries(dir, data string) (string, error) {
	major := majorOf(data)
	if dir != "" {
		if !hasServer(dir) {
			return "", fault.Newf(fault.Invalid, "PG_BIN is %s, but there is no initdb and postgres in it.", dir).
				WithFix("Name the folder that holds both, such as /usr/lib/postgresql/15/bin.").WithField("PG_BIN")
		}
		return dir, recent(dir)
	}
	best, bestMajor := "", -1
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin"} {
		found, _ := filepath.Glob(pattern) // the pattern is well-formed
		for _, d := range found {
			if !hasServer(d) {
				continue
			}
			switch m := version(d); {
			case m == major:
				return d, nil
			case m > bestMajor:
				best, bestMajor = d, m
			}
		}
	}
	if best == "" {
		if p, err := exec.LookPath("postgres"); err == nil {
			if p, err = filepath.EvalSymlinks(p); err == nil && hasServer(filepath.Dir(p)) {
				best = filepath.Dir(p)
			}
		}
	}
	if best == "" {
		return "", fault.New(fault.Unavailable, "No PostgreSQL server was found on this machine.").
			WithFix("Install it (Debian, Ubuntu: apt-get install postgresql), name its folder with PG_BIN, or set DATABASE_URL to a server that runs elsewhere.")
	}
	return best, recent(best)
}

// recent refuses a PostgreSQL that our schema does not run on.
func recent(dir string) error {
	const oldest = 15
	if v := version(dir); v < oldest {
		return fault.Newf(fault.Unavailable, "The PostgreSQL in %s is version %d; %d or newer is needed.", dir, v, oldest).
			WithFix("Install a newer one beside it, or name its folder with PG_BIN.")
	}
	return nil
}

// majorOf returns the major version that wrote data, or -1 when nobody did.
func majorOf(data string) int {
	text, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if err != nil {
		return -1
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return -1
	}
	return n
}

var (
	versionDir  = regexp.MustCompile(`(?:/postgresql/|/pgsql-|/postgresql@)(\d+)/bin$`)
	versionText = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)
)

// version returns the major version of the PostgreSQL in dir: from the name of
// the folder where distributions put it there, else by asking it. It is 0 when
// neither tells.
func version(dir string) int {
	m := versionDir.FindStringSubmatch(dir)
	if m == nil {
		out, err := exec.Command(filepath.Join(dir, "postgres"), "--version").Output() //nolint:noctx // it prints a line
		if err != nil {
			return 0
		}
		m = versionText.FindStringSubmatch(string(out))
	}
	if m == nil {
		return 0
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return 0
	}
	return n
}

func hasServer(dir string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.IsDir() {
			return false
		}
	}
	return true
}

// account is the operating system user that runs the server.
type account struct {
	uid, gid int
	name     string
	drop     bool // it is not the user that we are
}

// serverAccount returns who shall run PostgreSQL, which refuses to run as root:
// ourselves, or as root whoever owns the data already, else the user postgres,
// else nobody.
func serverAccount(data string) (account, error) {
	if os.Geteuid() != 0 {
		return account{uid: os.Geteuid(), gid: os.Getegid(), name: userName(os.Geteuid())}, nil
	}
	if info, err := os.Stat(data); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 {
			return account{uid: int(st.Uid), gid: int(st.Gid), name: userName(int(st.Uid)), drop: true}, nil
		}
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err1 == nil && err2 == nil {
			return account{uid: uid, gid: gid, name: u.Username, drop: true}, nil
		}
	}
	return account{}, fault.New(fault.Unavailable, "PostgreSQL does not run as root, and this system has neither a user postgres nor nobody to run it as.").
		WithFix("Start inventiv as an ordinary user, or set DATABASE_URL.")
}

// userName returns the name of uid, as PostgreSQL's peer authentication sees it.
func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}
