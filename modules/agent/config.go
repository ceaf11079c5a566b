package agent

import (
	"net"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

// Config is what an agent has to be told; the control plane tells it the rest.
type Config struct {
	StateDir  string    // folder of its identity, logs and engine; created when missing
	Instance  uuid.UUID // the instance that this node is
	Endpoints []string  // host:port of the control plane; a host may have several addresses
	CAFile    string    // certificate, PEM, that the control plane's is verified against
	TokenFile string    // one-time join token; read, and then removed, while there is no identity
	Listen    string    // loopback address of the local pages; port 0 takes any
	Version   string    // of this binary
	Environ   []string  // as of os.Environ; engines get what is fit for them: PATH, HOME, CUDA_…, HF_… and the like
	// Grace is how long running requests may go on when the agent is told to
	// end; 0 means ten seconds.
	Grace time.Duration
}

// File names in the state directory.
const (
	keyFile         = "key.pem"
	certificateFile = "certificate.pem"
	ordersFile      = "orders.json"
	eventsFile      = "events.log"
	engineFile      = "engine.log"
	listenFile      = "listen"
	lockFile        = "lock"
)

const defaultGrace = 10 * time.Second

func (c *Config) file(name string) string { return filepath.Join(c.StateDir, name) }

// validate returns a fault.Invalid that names what is wrong.
func (c *Config) validate() error {
	if c.Instance == uuid.Nil {
		return fault.New(fault.Invalid, "The agent has not been told which instance it is.").WithField("instance")
	}
	if len(c.Endpoints) == 0 {
		return fault.New(fault.Invalid, "The agent has not been told where the control plane is.").WithField("endpoint")
	}
	for _, endpoint := range c.Endpoints {
		if _, _, err := net.SplitHostPort(endpoint); err != nil {
			return fault.Newf(fault.Invalid, "The control plane's address %q is not host:port.", endpoint).WithField("endpoint")
		}
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fault.Newf(fault.Invalid, "The agent's own pages cannot be at %q: other machines could reach them.", c.Listen).
			WithFix("Use a loopback address, such as 127.0.0.1:0.").WithField("listen")
	}
	if c.Grace == 0 {
		c.Grace = defaultGrace
	}
	c.Endpoints = slices.Clone(c.Endpoints)
	return nil
}
