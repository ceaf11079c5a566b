package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/keyring"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/events"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/internal/gatewaydb"
)

// Endpoint is an OpenAI-compatible server that already runs elsewhere.
type Endpoint struct {
	ID        uuid.UUID
	Name      string
	Model     string // as clients send it
	BaseURL   string // ends in /v1
	Keyed     bool   // we send it a key of its own
	State     string // unknown, reachable or unreachable
	Message   string // why it is unreachable
	CheckedAt time.Time
	CreatedAt time.Time
}

// NewEndpoint is what AddEndpoint is given.
type NewEndpoint struct {
	Name, Model, BaseURL string
	Key                  string // sent as a bearer token; empty for none
}

// Endpoints lists the endpoints of the actor's organisation by name.
func (s *Service) Endpoints(ctx context.Context, actor auth.Actor) ([]Endpoint, error) {
	if err := auth.Need(actor, auth.EndpointsView); err != nil {
		return nil, err
	}
	rows, err := gatewaydb.New(s.pool).Endpoints(ctx, actor.Organisation)
	if err != nil {
		return nil, fmt.Errorf("list endpoints: %w", err)
	}
	list := make([]Endpoint, len(rows))
	for i, r := range rows {
		list[i] = Endpoint{
			ID: r.ID, Name: r.Name, Model: r.Model, BaseURL: r.BaseUrl, Keyed: r.Keyed, State: r.State, Message: r.Message, CreatedAt: r.CreatedAt,
		}
		if r.CheckedAt != nil {
			list[i].CheckedAt = *r.CheckedAt
		}
	}
	return list, nil
}

// AddEndpoint makes requests for a model go to a server that already runs. A
// model that nobody knew becomes an entry of the catalogue without a price. It
// fails with fault.Invalid for a name or a URL that cannot be, with fault.Denied
// for a private address unless the actor operates the platform, and with
// fault.Conflict for a name that is taken.
func (s *Service) AddEndpoint(ctx context.Context, actor auth.Actor, n NewEndpoint) (Endpoint, error) {
	if err := auth.Need(actor, auth.EndpointsEdit); err != nil {
		return Endpoint{}, err
	}
	if !isName(n.Name) {
		return Endpoint{}, fault.New(fault.Invalid, "An endpoint's name has 1 to 63 lower-case letters, digits and inner hyphens.").WithField("name")
	}
	n.Model = strings.TrimSpace(n.Model)
	if n.Model == "" || len(n.Model) > 200 {
		return Endpoint{}, fault.New(fault.Invalid, "Name the model that the endpoint serves, in at most 200 characters.").WithField("model")
	}
	base, err := baseURL(ctx, n.BaseURL, actor.Can(auth.PlatformOperate))
	if err != nil {
		return Endpoint{}, err
	}
	if strings.ContainsAny(n.Key, "\r\n\x00") || len(n.Key) > 4096 {
		return Endpoint{}, fault.New(fault.Invalid, "The endpoint's key is not one line of at most 4096 characters.").WithField("key")
	}
	if err := s.models.EnsureModel(ctx, actor.Organisation, n.Model); err != nil {
		return Endpoint{}, fmt.Errorf("add endpoint: %w", err)
	}
	e := Endpoint{ID: uuid.Must(uuid.NewV7()), Name: n.Name, Model: n.Model, BaseURL: base, Keyed: n.Key != "", State: "unknown", CreatedAt: time.Now()}
	row := gatewaydb.InsertEndpointParams{
		ID: e.ID, OrganisationID: actor.Organisation, Name: e.Name, Model: e.Model, BaseUrl: base, Private: actor.Can(auth.PlatformOperate),
		CreatedBy: actor.Ref(),
	}
	if n.Key != "" {
		row.KeySealed = s.ring.Seal(keyPlace(actor.Organisation, e.ID), []byte(n.Key))
	}
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := gatewaydb.New(tx).InsertEndpoint(ctx, row); err != nil {
			return err //nolint:wrapcheck // wrapped below
		}
		return s.changed(ctx, tx, actor, "endpoint.add", e.ID, map[string]any{"name": e.Name, "model": e.Model, "url": base})
	})
	if db.IsUnique(err, "endpoints_organisation_id_name_key") {
		return Endpoint{}, fault.Newf(fault.Conflict, "There is an endpoint named %s already.", n.Name).WithField("name")
	}
	if err != nil {
		return Endpoint{}, fmt.Errorf("add endpoint: %w", err)
	}
	return e, nil
}

// RemoveEndpoint stops sending requests to an endpoint, given by id or name.
// Requests that it is answering are finished.
func (s *Service) RemoveEndpoint(ctx context.Context, actor auth.Actor, ref string) error {
	if err := auth.Need(actor, auth.EndpointsEdit); err != nil {
		return err
	}
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		e, err := gatewaydb.New(tx).DeleteEndpoint(ctx, gatewaydb.DeleteEndpointParams{OrganisationID: actor.Organisation, Ref: ref})
		if errors.Is(err, pgx.ErrNoRows) {
			return fault.New(fault.NotFound, "There is no such endpoint.")
		}
		if err != nil {
			return err //nolint:wrapcheck // wrapped below
		}
		return s.changed(ctx, tx, actor, "endpoint.remove", e.ID, map[string]any{"name": e.Name})
	})
	if err != nil {
		return fmt.Errorf("remove endpoint: %w", err)
	}
	return nil
}

func (s *Service) changed(ctx context.Context, tx pgx.Tx, actor auth.Actor, action string, id uuid.UUID, detail map[string]any) error {
	if err := auth.Audit(ctx, tx, actor, action, id.String(), detail); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if err := events.Post(ctx, tx, events.Event{Topic: events.Endpoint, Key: id.String(), Organisation: actor.Organisation}); err != nil {
		return fmt.Errorf("tell: %w", err)
	}
	return nil
}

func keyPlace(organisation, id uuid.UUID) string {
	return keyring.Place("gateway.endpoints", "key_sealed", organisation.String(), id.String())
}

func isName(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' })
}

// baseURL checks and cleans the address of an endpoint: http or https, without
// credentials, query or fragment, and ending in its version, as SDKs take it.
func baseURL(ctx context.Context, text string, operator bool) (string, error) {
	wrong := func(what string) error {
		return fault.Newf(fault.Invalid, "The endpoint's URL %s.", what).
			WithFix("Give the base URL that OpenAI SDKs take, such as https://llm.example.com/v1.").WithField("url").WithKind("url_not_allowed")
	}
	u, err := url.Parse(strings.TrimSpace(text))
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return "", wrong("cannot be read")
	case u.Scheme != "http" && u.Scheme != "https":
		return "", wrong("must start with http:// or https://")
	case u.User != nil:
		return "", wrong("must not hold credentials; give the key apart")
	case u.RawQuery != "" || u.Fragment != "":
		return "", wrong("must not have a query or a fragment")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	if u.Path == "" {
		u.Path = "/v1"
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return "", wrong("names a host that is not found")
	}
	for _, ip := range ips {
		if err := mayDial(ip, operator); err != nil {
			return "", err
		}
	}
	return u.String(), nil
}

// mayDial says whether requests may go to an address: never to link-local ones,
// where clouds keep their secrets; to private ones only where an operator of the
// platform said so.
func mayDial(ip netip.Addr, operator bool) error {
	ip = ip.Unmap()
	refused := func(kind string) error {
		return fault.Newf(fault.Denied, "The address %s is %s.", ip, kind).WithField("url").WithKind("url_not_allowed")
	}
	metadata := netip.MustParseAddr("fd00:42::42")
	switch {
	case ip.IsLinkLocalUnicast() || ip.IsLinkLocalMulticast() || ip.IsMulticast() || ip.IsUnspecified() || ip == metadata:
		return refused("not one that requests may be sent to")
	case operator:
	case ip.IsLoopback() || ip.IsPrivate() || netip.MustParsePrefix("100.64.0.0/10").Contains(ip):
		return refused("private: only an operator of the platform may add it")
	}
	return nil
}

// dialer returns what dials endpoints: those that an operator of the platform
// added, or all others. The address is judged again when it is dialled, because
// a name may point elsewhere by then.
func dialer(operator bool) *net.Dialer {
	return &net.Dialer{
		Timeout: 3 * time.Second,
		// A server that vanished without a word is noticed within 30 s.
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3},
		Control: func(_, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("read the dialled address: %w", err)
			}
			return mayDial(ap.Addr(), operator)
		},
	}
}

// toEndpoints returns a transport that looks after endpoints.
func toEndpoints(operator bool) *http.Transport {
	return &http.Transport{
		DialContext: dialer(operator).DialContext, IdleConnTimeout: 90 * time.Second, DisableCompression: true,
		TLSHandshakeTimeout: 5 * time.Second,
	}
}

func (s *Service) endpointTransport(e gatewaydb.AllEndpointsRow) http.RoundTripper {
	if e.Private {
		return s.toPrivate
	}
	return s.toPublic
}

const checksAtOnce = 16

// checkEndpoints is a pass: it asks every endpoint for its models and notes
// which answer.
func (s *Service) checkEndpoints(ctx context.Context) (int, error) {
	q := gatewaydb.New(s.pool)
	rows, err := q.AllEndpoints(ctx)
	if err != nil {
		return 0, fmt.Errorf("list endpoints: %w", err)
	}
	var moved atomic.Int64
	var checks errgroup.Group
	checks.SetLimit(checksAtOnce)
	for _, e := range rows {
		checks.Go(func() error {
			state, message := "reachable", ""
			if err := s.askEndpoint(ctx, e); err != nil {
				state, message = "unreachable", err.Error()
			}
			if ctx.Err() != nil {
				return ctx.Err() //nolint:wrapcheck // a shutdown, not a finding
			}
			if _, err := q.SetEndpointState(ctx, gatewaydb.SetEndpointStateParams{
				ID: e.ID, OrganisationID: e.OrganisationID, State: state, Message: message,
			}); err != nil {
				return fmt.Errorf("note the state of an endpoint: %w", err)
			}
			if state != e.State {
				moved.Add(1)
				s.events.Publish(events.Event{Topic: events.Endpoint, Key: e.ID.String(), Organisation: e.OrganisationID})
			}
			return nil
		})
	}
	err = checks.Wait()
	return int(moved.Load()), err //nolint:wrapcheck // wrapped above
}

// askEndpoint returns nil when the endpoint answers, else a sentence for people.
func (s *Service) askEndpoint(ctx context.Context, e gatewaydb.AllEndpointsRow) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.BaseUrl+"/models", nil)
	if err != nil {
		return errors.New("its URL cannot be used")
	}
	if e.KeySealed != nil {
		key, err := s.ring.Open(keyPlace(e.OrganisationID, e.ID), e.KeySealed)
		if err != nil {
			return errors.New("its key cannot be opened with this master key")
		}
		req.Header.Set("Authorization", "Bearer "+string(key))
	}
	res, err := s.endpointTransport(e).RoundTrip(req)
	if err != nil {
		if f := fault.As(err); f != nil {
			return f
		}
		return errors.New("it does not answer")
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden {
		return errors.New("it refuses the key")
	}
	if res.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("it answers with status %d", res.StatusCode)
	}
	return nil
}
