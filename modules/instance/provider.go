package instance

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

// Provider gives machines. An adapter keeps no state of its own: everything it
// makes carries the tags of installation and instance, so that it is found
// again after any crash. Each call is one short exchange that ends with ctx.
//
// Errors are *ProviderError where the kind of trouble is known. Every other
// error, and a KindUnknown, means that nobody can tell whether the call had an
// effect. package providertest holds every adapter to this contract.
type Provider interface {
	// Offers returns what can be rented now, with price and stock.
	Offers(ctx context.Context) ([]ProviderOffer, error)

	// List returns what exists with the tags q names, in every state, in all
	// zones unless q names one. Something created moments ago may be missing
	// from it. An incomplete listing is an error, never a short answer.
	List(ctx context.Context, q Query) ([]ProviderResource, error)

	// Create makes a server, switched off, with its volume and address, and
	// returns it. It is not idempotent: whoever is in doubt asks List first. A
	// KindOutOfStock, KindQuota, KindDenied, KindThrottled or KindInvalid error
	// means that nothing was made.
	Create(ctx context.Context, spec ServerSpec) (Server, error)

	// Prepare does what has to be done before the first start: the volume's
	// size, the tags of what the provider made by itself. It may be repeated.
	Prepare(ctx context.Context, ref ServerRef, spec ServerSpec) error

	// PowerOn asks for a start. A server that is starting or running is left
	// alone. It may fail with KindOutOfStock.
	PowerOn(ctx context.Context, ref ServerRef) error

	// Server returns the server as it is now, or a KindNotFound error when the
	// provider says that there is none.
	Server(ctx context.Context, ref ServerRef) (Server, error)

	// Reach succeeds once the server can be installed and is the one the
	// provider speaks of.
	Reach(ctx context.Context, ref ServerRef) error

	// Install moves the installation of the agent on and says whether it is
	// done. It may be repeated, also after it is done and after a crash in the
	// middle: one generation keeps the identity its agent has made. Another
	// generation replaces the installation that is there.
	Install(ctx context.Context, ref ServerRef, spec InstallSpec) (Installation, error)

	// Delete moves the deletion of one resource on and says whether it is gone,
	// which it is only when the provider has answered that it does not exist. It
	// may be repeated.
	Delete(ctx context.Context, ref ResourceRef) (Deletion, error)
}

// ServerRef names a server at its provider.
type ServerRef struct {
	Zone, ID string
}

// ResourceKind is what is billed.
type ResourceKind string

// What is billed.
const (
	KindServer  ResourceKind = "server"
	KindVolume  ResourceKind = "volume"
	KindAddress ResourceKind = "address"
)

// ResourceRef names something that is billed at its provider.
type ResourceRef struct {
	Kind     ResourceKind
	Zone, ID string
}

// ProviderOffer is a server type in a zone, as its provider tells.
type ProviderOffer struct {
	Zone, Type   string
	PricePerHour money.EUR
	Stock        Stock
}

// Stock is how many servers of a type a provider has, as far as it tells.
type Stock string

// The stocks.
const (
	StockAvailable Stock = "available"
	StockScarce    Stock = "scarce"
	StockOut       Stock = "out"
	StockUnknown   Stock = "unknown"
)

// Tags say whose a resource is.
type Tags struct {
	Installation uuid.UUID // ours: several may share a provider's project
	Instance     uuid.UUID
}

// Query narrows a listing.
type Query struct {
	Installation uuid.UUID
	Instance     uuid.UUID // nil: of all instances
	Zone         string    // empty: in all zones
}

// ServerSpec is the server that is wanted.
type ServerSpec struct {
	Tags     Tags
	Name     string // of the instance
	Zone     string
	Type     string
	VolumeGB int
}

// ServerState is whether a server runs.
type ServerState string

// The states of a server.
const (
	ServerStopped  ServerState = "stopped"
	ServerStarting ServerState = "starting"
	ServerRunning  ServerState = "running"
	ServerStopping ServerState = "stopping"
)

// Server is a server as its provider tells.
type Server struct {
	Ref       ServerRef
	State     ServerState
	Address   string // empty until it has one
	Secured   bool   // its network rules are in force
	Resources []ProviderResource
}

// ProviderResource is something that a provider bills: the server itself, its
// volumes and addresses.
type ProviderResource struct {
	Ref         ResourceRef
	Instance    uuid.UUID // by its tag
	Description string    // L4-1-24G, 100 GB volume, IPv4 address
	// PricePerHour is zero for a server: it has the price of the offer.
	PricePerHour money.EUR
	CreatedAt    time.Time // by the provider's clock
}

// InstallSpec is what an agent is told when it is installed.
type InstallSpec struct {
	Instance   uuid.UUID
	Generation int
	Endpoint   string // host:port list the agent dials
	CA         []byte // PEM: what it verifies the control plane with
	Token      wire.Secret
}

// Installation is how far an installation is.
type Installation struct {
	Done  bool
	Phase string // for people; empty when there are none
}

// Deletion is how far a deletion is.
type Deletion struct {
	Gone bool
	At   time.Time // the provider's own time of the end; zero when it does not tell
}

// ErrorKind is what a provider's refusal means for us.
type ErrorKind string

// The kinds.
const (
	KindNotFound   ErrorKind = "not_found"
	KindOutOfStock ErrorKind = "out_of_stock" // another offer may work
	KindQuota      ErrorKind = "quota"        // another offer may work
	KindDenied     ErrorKind = "denied"       // credentials; says nothing about what exists
	KindThrottled  ErrorKind = "throttled"    // ask later
	KindTransient  ErrorKind = "transient"    // busy with it or with something before it: ask again
	KindInvalid    ErrorKind = "invalid"      // asking again will not help
	KindUnknown    ErrorKind = "unknown"      // it may or may not have had an effect
)

// ProviderError is what a provider answered instead of doing it.
type ProviderError struct {
	Kind ErrorKind
	Text string // the provider's words, whole sentences, without secrets
	Err  error  // the cause; may be nil
}

// Error returns the provider's words with the kind.
func (e *ProviderError) Error() string {
	text := "provider: " + e.Text + " (" + string(e.Kind) + ")"
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *ProviderError) Unwrap() error { return e.Err }

// KindOf returns the kind of a provider's error: KindUnknown for every error
// that does not say, and nothing for nil.
func KindOf(err error) ErrorKind {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*ProviderError](err); ok {
		return e.Kind
	}
	return KindUnknown
}
