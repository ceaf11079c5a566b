package cli

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inventiv-it-for-ai/inventiv/app/config"
)

// checks are those that need nothing but the host.
func (c Config) checks() []Check {
	return []Check{
		{"data", checkData},
		{"master key", checkMasterKey},
		{"spool", c.checkSpool},
		{"console", func(ctx context.Context, cfg config.Serve) Finding {
			return checkListener(ctx, "INVENTIV_LISTEN", cfg.Listen, healthz)
		}},
		{"gateway", checkGateway},
		{"agents", func(ctx context.Context, cfg config.Serve) Finding {
			return checkListener(ctx, "INVENTIV_AGENT_LISTEN", cfg.AgentListen, agentTLS)
		}},
		{"metrics", func(ctx context.Context, cfg config.Serve) Finding {
			return checkListener(ctx, "INVENTIV_METRICS_LISTEN", cfg.MetricsListen, metrics)
		}},
		{"clock", checkClock},
	}
}

// The space that a data folder should have.
const (
	littleSpace = 5 << 30
	noSpace     = 500 << 20
)

// checkData looks whether the data folder, or the one it would be made in, can
// be written and has room.
func checkData(_ context.Context, cfg config.Serve) Finding {
	dir, made := cfg.DataDir, ""
	for {
		info, err := os.Stat(dir)
		if err == nil && info.IsDir() {
			break
		}
		if err == nil || !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return Finding{Health: Bad, Text: dir + " is not a folder that can be used.", Fix: "Name another one with INVENTIV_DATA_DIR."}
		}
		dir, made = filepath.Dir(dir), " It does not exist yet and will be made."
	}
	if unix.Access(dir, unix.W_OK|unix.X_OK) != nil {
		return Finding{
			Health: Bad, Text: "The folder " + dir + " cannot be written by this user.",
			Fix: "Name another one with INVENTIV_DATA_DIR, or give this user the right to write there.",
		}
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		return Finding{Health: Warn, Text: "The free space of " + dir + " cannot be read: " + err.Error() + "."}
	}
	free := int64(disk.Bavail) * disk.Bsize
	text := fmt.Sprintf("%s has %s free.%s", cfg.DataDir, bytesText(free), made)
	switch {
	case free < noSpace:
		return Finding{Health: Bad, Text: text, Fix: "Make room: the database and the usage spool live there."}
	case free < littleSpace:
		return Finding{Health: Warn, Text: text, Fix: "Make room soon: the database and the usage spool live there."}
	}
	return good("%s", text)
}

func bytesText(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d KiB", (n+1023)>>10)
}

func checkMasterKey(_ context.Context, cfg config.Serve) Finding {
	if _, err := os.Stat(cfg.MasterKeyFile); errors.Is(err, fs.ErrNotExist) {
		return Finding{
			Health: Warn, Text: cfg.MasterKeyFile + " does not exist.",
			Fix: "The first start of serve makes it. If this installation has run before, restore it from a backup.",
		}
	}
	f, err := os.Open(cfg.MasterKeyFile)
	if err != nil {
		return Finding{Health: Bad, Text: "The key ring cannot be read: " + err.Error() + ".", Fix: "Give this user the right to read it."}
	}
	defer f.Close()
	return good("%s can be read. Keep a copy of it elsewhere: without it, secrets in the database are lost.", cfg.MasterKeyFile)
}

// muchSpooled is more than waits for the database when all is well.
const muchSpooled = 64 << 20

// checkSpool tells what waits from what is stored already and kept.
func (c Config) checkSpool(_ context.Context, cfg config.Serve) Finding {
	files, err := c.Spool(filepath.Join(cfg.DataDir, "spool"))
	var waiting, kept int64
	aside := 0
	for _, f := range files {
		switch {
		case f.aside():
			aside++
		case f.Waiting > 0:
			waiting += f.Bytes - f.KeptBytes
			kept += f.KeptBytes
		default:
			kept += f.Bytes
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return good("There is no usage spool yet.")
	case err != nil:
		return Finding{Health: Warn, Text: "The usage spool cannot be read: " + err.Error() + "."}
	case aside > 0:
		return Finding{
			Health: Warn, Text: fmt.Sprintf("Usage was damaged on disk or refused by the database; files in the spool's quarantine: %d.", aside),
			Fix: "Look at them with inventiv usage spool, and delete them when they are settled.",
		}
	case waiting > muchSpooled:
		return Finding{
			Health: Warn, Text: bytesText(waiting) + " of usage wait for the database.",
			Fix: "See whether the database can be written; nothing is lost meanwhile.",
		}
	}
	return good("%s wait for the database, %s are stored and kept for a while.", bytesText(waiting), bytesText(kept))
}

// patience is how long a listener may take to answer a check.
const patience = 3 * time.Second

// checkListener looks whether an address is free, or ours: what answers there
// is asked by recognise.
func checkListener(ctx context.Context, setting, address string, recognise func(context.Context, string) (string, error)) Finding {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", address)
	if err == nil {
		_ = l.Close()
		return good("%s is free; serve is not running there.", address)
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		return Finding{Health: Bad, Text: "Nothing can listen at " + address + ": " + cause(err) + ".", Fix: "Choose another address in " + setting + "."}
	}
	text, err := recognise(ctx, local(address))
	if err != nil {
		return Finding{
			Health: Bad, Text: address + " is taken by something that does not answer as Inventiv does: " + cause(err) + ".",
			Fix: "End it, or choose another address in " + setting + ".",
		}
	}
	return good("%s: %s", address, text)
}

// cause is the innermost error, without the addresses around it.
func cause(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

// local is an address that listens, as it is dialled from here.
func local(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || host != "" && (ip == nil || !ip.IsUnspecified()) {
		return address
	}
	return net.JoinHostPort("127.0.0.1", port)
}

// fetch gets the beginning of a page without credentials.
func fetch(ctx context.Context, url string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, string(raw), err
}

func healthz(ctx context.Context, address string) (string, error) {
	status, body, err := fetch(ctx, "http://"+address+"/healthz")
	if err != nil {
		return "", err
	}
	if status != http.StatusOK || strings.TrimSpace(body) != "ok" {
		return "", fmt.Errorf("/healthz answers %d", status)
	}
	if status, _, err := fetch(ctx, "http://"+address+"/readyz"); err != nil || status != http.StatusOK {
		return "it runs, but is not ready: its database does not answer.", nil //nolint:nilerr // the sentence says it
	}
	return "it runs and is ready.", nil
}

func metrics(ctx context.Context, address string) (string, error) {
	status, body, err := fetch(ctx, "http://"+address+"/metrics")
	if err != nil {
		return "", err
	}
	if status != http.StatusOK || !strings.Contains(body, "go_goroutines") {
		return "", fmt.Errorf("/metrics answers %d", status)
	}
	return "it answers.", nil
}

// agentName is the name in the certificate that agents are shown.
const agentName = "inventiv"

// agentTLS looks at the certificate of the agents' listener; agents verify it
// with our own authority, which is not at hand here.
func agentTLS(ctx context.Context, address string) (string, error) {
	var seen *tls.ConnectionState
	dialer := tls.Dialer{Config: &tls.Config{
		ServerName: agentName, MinVersion: tls.VersionTLS13,
		InsecureSkipVerify: true, //nolint:gosec // the certificate is looked at, and nothing is sent
		VerifyConnection:   func(s tls.ConnectionState) error { seen = &s; return nil },
	}}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err == nil {
		_ = conn.Close()
	}
	if seen == nil {
		return "", err
	}
	leaf := seen.PeerCertificates[0]
	if !slices.Contains(leaf.DNSNames, agentName) {
		return "", errors.New("its certificate is not that of an Inventiv control plane")
	}
	if time.Now().After(leaf.NotAfter) {
		return "", fmt.Errorf("its certificate ended on %s", leaf.NotAfter.UTC().Format(time.RFC1123))
	}
	return "agents are shown a certificate that is good until " + leaf.NotAfter.UTC().Format(time.DateOnly) + ".", nil
}

// checkGateway asks /v1 without a key, which a gateway refuses in OpenAI's way.
func checkGateway(ctx context.Context, cfg config.Serve) Finding {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	status, body, err := fetch(ctx, "http://"+local(cfg.Listen)+"/v1/models")
	if err != nil {
		return Finding{Health: Warn, Text: "The gateway does not answer: " + cause(err) + ".", Fix: "Start inventiv serve."}
	}
	var answer struct {
		Error struct {
			Code string `json:"code"`
		} `json:"error"`
	}
	if status != http.StatusUnauthorized || json.Unmarshal([]byte(body), &answer) != nil || answer.Error.Code != "missing_api_key" {
		return Finding{Health: Bad, Text: fmt.Sprintf("/v1/models without a key answers %d in place of 401.", status), Fix: "See what else answers at " + cfg.Listen + "."}
	}
	return good("/v1 answers and asks for a key.")
}

// checkClock asks the kernel whether the clock follows others: leases are the
// database's, but certificates and usage carry this host's time.
func checkClock(context.Context, config.Serve) Finding {
	state, err := unix.Adjtimex(&unix.Timex{})
	if err != nil {
		return Finding{Health: Warn, Text: "The state of the clock cannot be read: " + err.Error() + "."}
	}
	now := time.Now().UTC().Format(time.RFC3339)
	if state == unix.TIME_ERROR {
		return Finding{
			Health: Warn, Text: "The clock (" + now + ") is not synchronised with others, as far as the kernel knows.",
			Fix: "Run a time service such as systemd-timesyncd or chrony; in a container the host does it.",
		}
	}
	return good("%s, synchronised.", now)
}
