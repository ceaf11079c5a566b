package instance

import (
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

// Desired is what is wanted of an instance.
type Desired string

// What may be wanted of an instance.
const (
	WantReady      Desired = "ready"      // serve
	WantReplaced   Desired = "replaced"   // serve until a replacement is ready, then drain
	WantDrained    Desired = "drained"    // finish what runs, then end
	WantTerminated Desired = "terminated" // end now
)

// Connectivity is how recently the node has reported.
type Connectivity string

// The connectivities.
const (
	Online  Connectivity = "online"
	Suspect Connectivity = "suspect" // silent for more than 30 s
	Lost    Connectivity = "lost"    // silent for more than 120 s, or never heard of
)

// Eligibility is whether requests may be routed to an instance that is ready.
type Eligibility string

// The eligibilities.
const (
	Eligible Eligibility = "eligible"
	Cordoned Eligibility = "cordoned"
)

// OfferRef names something that can be rented as provider/zone/type.
type OfferRef struct {
	Provider, Zone, Type string
}

// String returns provider/zone/type.
func (o OfferRef) String() string { return o.Provider + "/" + o.Zone + "/" + o.Type }

// parseOffer reads provider/zone/type.
func parseOffer(s string) (OfferRef, bool) {
	provider, rest, ok := strings.Cut(strings.TrimSpace(s), "/")
	zone, kind, more := strings.Cut(rest, "/")
	ok = ok && more && provider != "" && zone != "" && kind != "" && !strings.Contains(kind, "/")
	return OfferRef{provider, zone, kind}, ok
}

// Deployment is an organisation's wish: a model, offers in order of preference,
// and how many replicas.
type Deployment struct {
	ID, Organisation uuid.UUID
	Name             string
	ModelID          uuid.UUID
	Model            string // as clients send it
	Kind             string // chat or embedding
	VolumeGB         int
	Offers           []OfferRef
	Min, Max         int
	Idle             int             // minutes without a request after which it sleeps if Min is 0; 0: never
	Engine           wire.EngineSpec // without its environment, which may hold secrets
	Stopped          bool
	Deleted          *time.Time
	Reason           Reason // why it is not as wanted, or that it is awake or asleep; else empty
	Message          string // the same for people
	CreatedBy        string
	CreatedAt        time.Time
	Live             int // replicas that exist and are meant to serve
	Ready            int // of these, those that serve
}

// Instance is one replica: one machine that serves one model.
type Instance struct {
	ID, Organisation, DeploymentID uuid.UUID
	Deployment                     string // its name
	Name                           string // inst-<8 hex>
	Model                          string
	Kind                           string // chat or embedding
	Offer                          OfferRef
	PricePerHour                   money.EUR // of the server, frozen at creation
	VolumeGB                       int
	State                          State
	Desired                        Desired
	Connectivity                   Connectivity
	Eligibility                    Eligibility
	Step                           Step // in progress; empty once ready
	Progress                       int  // percent
	Reason                         Reason
	Message                        string
	Generation                     int // one more at each reinstall and retry
	Attempts                       int // of the step in progress
	StateSince                     time.Time
	Deadline                       *time.Time // of the state; nil when it waits for nothing
	ServerID                       string     // the provider's id
	Address                        string
	CreatedBy                      string
	CreatedAt                      time.Time
	ReadyAt                        *time.Time // of the first time
	TerminatedAt                   *time.Time
	Flag                           Reason // set when somebody has to look at it, such as bootstrap_reused
}

// Detail is an instance with everything that is known about it.
type Detail struct {
	Instance

	Steps       []StepRecord
	Transitions []Transition
	Operations  []Operation
	Resources   []Resource
	Node        *Node // nil until an agent was to join
	// Usual is how long the steps usually take; only while the instance is on
	// its way to ready, and only for steps that were taken before.
	Usual map[Step]Usual
}

// Usual is how long a step took the organisation's latest instances of the same
// model on the same type of machine.
type Usual struct {
	Median time.Duration
	Times  int // how many it is the median of
}

// StepRecord is one step of one generation, with its duration.
type StepRecord struct {
	Generation int
	Step       Step
	StartedAt  time.Time
	EndedAt    *time.Time // nil while it is in progress
	Failed     bool
	Detail     string // for people; what it waited for or failed with
}

// Transition is one change of state.
type Transition struct {
	Seq      int
	From, To State // From is empty for the first
	Reason   Reason
	Message  string
	At       time.Time
}

// Operation is one thing that was asked of a provider, written before it was
// sent.
type Operation struct {
	ID        uuid.UUID
	Kind      OperationKind
	Target    string // the provider's id, once known
	Status    OperationStatus
	Error     string
	PlannedAt time.Time
	SentAt    *time.Time
	SettledAt *time.Time
}

// OperationKind is what is asked of a provider.
type OperationKind string

// What is asked of a provider.
const (
	OpCreateServer   OperationKind = "create_server"
	OpPowerOn        OperationKind = "power_on"
	OpInstall        OperationKind = "install"
	OpDeleteServer   OperationKind = "delete_server"
	OpDeleteResource OperationKind = "delete_resource" // a volume or an address
)

// OperationStatus is what is known of an operation.
type OperationStatus string

// The statuses of an operation. The first, second and last are open: nothing
// like it is sent before it is known what became of it.
const (
	OpPlanned   OperationStatus = "planned"   // will be sent
	OpSent      OperationStatus = "sent"      // was, or was about to be, sent
	OpConfirmed OperationStatus = "confirmed" // the provider has done it
	OpAbsent    OperationStatus = "absent"    // the provider has not done it and will not
	OpAmbiguous OperationStatus = "ambiguous" // an answer came that does not tell
)

// Resource is something a provider bills for an instance.
type Resource struct {
	ID, InstanceID, Organisation uuid.UUID
	Instance                     string // its name
	Model                        string
	Kind                         ResourceKind
	Provider, Zone, ProviderID   string
	Description                  string
	PricePerHour                 money.EUR
	CreatedAt                    time.Time  // by the provider's clock
	GoneAt                       *time.Time // when the provider says, or was first seen to say, that it is gone
	UpdatedAt                    time.Time  // when the row changed
}

// Node is an instance as its agent reports it.
type Node struct {
	InstanceID       uuid.UUID
	Instance         string // its name
	Model            string
	State            State
	Connectivity     Connectivity
	JoinedAt         *time.Time
	CertificateUntil *time.Time
	AgentVersion     string
	AgentChecksum    string
	HeartbeatAt      *time.Time
	Heartbeat        *wire.Heartbeat // the last one; nil before the first
}

// Sample is what a node reported at one moment. A nil figure was not reported.
type Sample struct {
	At               time.Time
	Running, Waiting *int
	KVCache          *float32 // share in use, 0 to 1
	GPU, GPUMemory   *float32 // 0 to 1, over all GPUs
	CPU, Memory      *float32 // 0 to 1
	Disk             *float32 // 0 to 1
	NetRx, NetTx     *int64   // bytes per second
	Tokens           *int64   // generated since the engine started
}

// Route is an instance that requests may be sent to.
type Route struct {
	ID, Organisation uuid.UUID
	Name, Model      string
	Kind             string    // chat or embedding
	ReportedAt       time.Time // when it last said the following
	Running, Waiting int
	KVCache          float64 // share in use, 0 to 1
	Generated        int64   // tokens since its engine started
}
