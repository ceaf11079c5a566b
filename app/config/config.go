// Package config reads the settings of every command, once, at its start.
//
// A setting is declared in one place, as a field of Serve, Store, Log, Agent or
// Client: its tags give the name in the environment, the default and the help.
// The flag follows from the name: INVENTIV_AGENT_LISTEN is --agent-listen. A
// flag beats the environment, which beats the default.
//
// A secret has no flag for its value, because other users of a machine can see
// command lines. It has one for a file that holds it, as it has a second name in
// the environment: INVENTIV_API_KEY_FILE, --api-key-file.
//
// Mistakes are reported all at once, each with the name of the setting, what is
// wrong with it and what would be right. A variable that starts with INVENTIV_
// and is not known is a mistake too: it is most often a typing error that would
// otherwise go unnoticed.
package config

import (
	"time"
)

// Log are the settings of the log, shared by all commands that stay.
type Log struct {
	Level  string `env:"INVENTIV_LOG_LEVEL" envDefault:"info" help:"least important messages to log: debug, info, warn or error"`
	Format string `env:"INVENTIV_LOG_FORMAT" envDefault:"auto" help:"text for people, json for programs; auto is text on a terminal"`
}

// Data is where a control plane keeps what is on the disk. Commands that only
// look there read this alone.
type Data struct {
	DataDir string `env:"INVENTIV_DATA_DIR" help:"folder of the embedded database, the usage spool and keys" shown:"/var/lib/inventiv as root, else $XDG_DATA_HOME/inventiv"`
}

// Store are the settings of the data that a control plane keeps. Commands that
// only work on the database read these alone.
type Store struct {
	Data

	Demo          bool          `env:"INVENTIV_DEMO" envDefault:"false" help:"run everything on this host, with an organisation, a key and a served model"`
	DatabaseURL   DatabaseURL   `env:"INVENTIV_DATABASE_URL" alias:"DATABASE_URL" secret:"true" help:"the address of a PostgreSQL 15 or newer; without it a database of our own is run in the data folder"`
	DatabasePool  int           `env:"INVENTIV_DATABASE_POOL" envDefault:"16" help:"most connections to the database"`
	DatabaseWait  time.Duration `env:"INVENTIV_DATABASE_WAIT" envDefault:"1m" help:"how long a start waits for a database that is starting, too"`
	PGBin         string        `env:"INVENTIV_PG_BIN" help:"folder of the PostgreSQL programs for the database of our own" shown:"found"`
	MasterKeyFile string        `env:"INVENTIV_MASTER_KEY_FILE" help:"ring of the keys for secrets at rest, mode 0600" shown:"DATA_DIR/master.key"`
}

// Serve are the settings of "inventiv serve".
type Serve struct {
	Log
	Store

	Listen        string `env:"INVENTIV_LISTEN" envDefault:"127.0.0.1:8080" help:"address of the console, the JSON API and /v1"`
	AgentListen   string `env:"INVENTIV_AGENT_LISTEN" envDefault:"127.0.0.1:8443" help:"address for agents"`
	AgentEndpoint List   `env:"INVENTIV_AGENT_ENDPOINT" help:"host:port list that agents dial" shown:"from agent-listen"`
	MetricsListen string `env:"INVENTIV_METRICS_LISTEN" envDefault:"127.0.0.1:9090" help:"address of /metrics and pprof"`
	PublicURL     string `env:"INVENTIV_PUBLIC_URL" help:"address that people and programs use, for links and cookies" shown:"from listen"`

	AllowedHosts   List     `env:"INVENTIV_ALLOWED_HOSTS" help:"further host names to answer to"`
	TrustedProxies Networks `env:"INVENTIV_TRUSTED_PROXIES" help:"addresses or networks whose X-Forwarded headers are believed"`

	Providers List   `env:"INVENTIV_PROVIDERS" help:"where machines come from; this version knows mock" shown:"mock with --demo, else none"`
	MockDir   string `env:"INVENTIV_MOCK_DIR" help:"folder of the mock provider" shown:"DATA_DIR/mock"`

	MaxBody         Size          `env:"INVENTIV_MAX_BODY" envDefault:"32MiB" help:"largest request body on /v1"`
	WakeWait        time.Duration `env:"INVENTIV_WAKE_WAIT" envDefault:"5m" help:"how long a request waits for the model it has woken, 0s to 10m; then it is answered with 503"`
	ShutdownDelay   time.Duration `env:"INVENTIV_SHUTDOWN_DELAY" envDefault:"0s" help:"how long requests are still taken at a stop, while /readyz says no already; for load balancers"`
	ShutdownTimeout time.Duration `env:"INVENTIV_SHUTDOWN_TIMEOUT" envDefault:"30s" help:"how long open answers may take to end at a stop"`

	AdminEmail    string `env:"INVENTIV_ADMIN_EMAIL" envDefault:"admin@inventiv.local" help:"e-mail address of the first admin"`
	AdminPassword Secret `env:"INVENTIV_ADMIN_PASSWORD" secret:"true" help:"the password of the first admin; without it a one-time set-up link is printed"`

	AuditDays int `env:"INVENTIV_AUDIT_DAYS" envDefault:"400" help:"days that the audit of who changed what is kept; 0: for ever"`

	DemoEngineCmd string `env:"INVENTIV_DEMO_ENGINE_CMD" help:"OpenAI-compatible server for the demo instead of the simulator, with {port} in it"`
}

// Agent are the settings of "inventiv agent". Everything else it is told by
// the control plane.
type Agent struct {
	Log

	StateDir  string `env:"INVENTIV_AGENT_STATE_DIR" help:"folder of the agent's identity, logs and engine" shown:"/var/lib/inventiv-agent as root, else $XDG_STATE_HOME/inventiv-agent"`
	Instance  string `env:"INVENTIV_AGENT_INSTANCE" help:"id of the instance that this node serves"`
	Endpoint  List   `env:"INVENTIV_AGENT_ENDPOINT" help:"host:port list of the control plane"`
	CAFile    string `env:"INVENTIV_AGENT_CA_FILE" help:"certificate of the control plane's authority" shown:"STATE_DIR/ca.pem"`
	TokenFile string `env:"INVENTIV_AGENT_TOKEN_FILE" help:"file with the one-time join token; read only while the agent has no identity" shown:"STATE_DIR/join-token"`
	Listen    string `env:"INVENTIV_AGENT_LOCAL_LISTEN" envDefault:"127.0.0.1:9091" help:"loopback address of the agent's own pages"`
}

// Client are the settings of the commands that talk to a running server.
type Client struct {
	URL     string        `env:"INVENTIV_URL" envDefault:"http://127.0.0.1:8080" help:"address of the server"`
	APIKey  Secret        `env:"INVENTIV_API_KEY" secret:"true" help:"the API key of scope admin"`
	Timeout time.Duration `env:"INVENTIV_TIMEOUT" envDefault:"30s" help:"how long to wait for an answer"`
}

// Settings is what Register and Read work on: *Data, *Store, *Serve, *Agent, *Client.
type Settings interface {
	// finish derives the defaults that depend on other settings, and reports
	// what is wrong.
	finish(r *reading)
}

// commands are all of them: the union of their names is what is known.
func commands() []Settings { return []Settings{&Serve{}, &Agent{}, &Client{}} }
