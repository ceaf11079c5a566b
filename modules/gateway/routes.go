package gateway

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/upstream"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/balance"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/internal/gatewaydb"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// table is where requests go. It is replaced as a whole and never changed, but
// for the counters that its targets share with those of the tables before.
type table struct {
	routes  map[routeKey]*route
	aliases map[routeKey]*alias
	lists   map[uuid.UUID][]*route // of an organisation, by model
	targets map[uuid.UUID]*target
	loaded  bool
}

type routeKey struct {
	organisation uuid.UUID
	model        string
}

// route is one organisation's way to a model.
type route struct {
	model     string
	quoted    []byte      // the model as a JSON string
	targets   []*target   // none: the model sleeps
	instead   []*route    // that may answer for it, in order
	fallbacks []string    // the same, and those that are served nowhere
	aliases   []*alias    // other names of it, by name
	set       balance.Set // the same, to choose from
	queue     *queue      // shared with the routes of the tables before
	sleeping  Sleeping    // what is known of one without targets
	price     Price       // zero without one
}

// target is a server that takes requests.
type target struct {
	id           uuid.UUID
	name         string
	model        string
	endpoint     bool
	organisation uuid.UUID              // whose it is
	embeds       bool                   // an instance that answers no chat
	address      string                 // what server and heads were made from
	server       *upstream.Server       // shared with the targets of the tables before, as is replica
	heads        [openai.Foreign][]byte // of requests, by kind
	replica      *balance.Replica
	checked      *time.Time // an endpoint: the last check that was taken up
}

// reload is a pass: it makes the route table anew.
func (s *Service) reload(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	replicas, sleeping, err := s.instances.Routes(ctx)
	if err != nil {
		return 0, fmt.Errorf("ask for the routes to instances: %w", err)
	}
	endpoints, err := gatewaydb.New(s.pool).AllEndpoints(ctx)
	if err != nil {
		return 0, fmt.Errorf("list endpoints: %w", err)
	}
	fallbacks, err := gatewaydb.New(s.pool).AllFallbacks(ctx)
	if err != nil {
		return 0, fmt.Errorf("list fallbacks: %w", err)
	}
	aliases, err := gatewaydb.New(s.pool).AllAliases(ctx)
	if err != nil {
		return 0, fmt.Errorf("list aliases: %w", err)
	}
	prices, err := s.prices.PriceBook(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the price book: %w", err)
	}
	old, now := s.table.Load(), s.now()
	t := &table{routes: map[routeKey]*route{}, lists: map[uuid.UUID][]*route{}, targets: map[uuid.UUID]*target{}, loaded: true}
	for _, r := range replicas {
		next := s.instanceTarget(old, r)
		next.replica.Report(r.Gauges, now)
		t.add(r.Organisation, next)
	}
	for _, e := range endpoints {
		next, err := s.endpointTarget(old, e)
		if err != nil {
			s.log.ErrorContext(ctx, "endpoint left out of the routes", "endpoint", e.ID, "err", err)
			continue
		}
		s.checkedEndpoint(ctx, next, e)
		t.add(e.OrganisationID, next)
	}
	for _, m := range sleeping {
		if r := t.route(m.Organisation, m.Model); len(r.targets) == 0 {
			r.sleeping = m
		}
	}
	t.setFallbacks(fallbacks)
	t.setAliases(aliases)
	t.setPrices(prices)
	t.keepQueues(old)
	s.watch(ctx, t, now)
	for _, list := range t.lists {
		slices.SortFunc(list, func(a, b *route) int { return strings.Compare(a.model, b.model) })
	}
	s.table.Store(t)
	s.setQueues(t, old)
	for id, before := range old.targets {
		if now := t.targets[id]; now == nil || now.server != before.server {
			before.server.Close()
		}
	}
	return 0, s.wakeAsked(ctx, t)
}

func (s *Service) instanceTarget(old *table, r Replica) *target {
	t := &target{id: r.ID, name: r.Name, model: r.Model, embeds: r.Embeds, address: "instance"}
	if !t.keep(old) {
		t.server = upstream.New(func(context.Context) (upstream.Conn, error) { return s.instances.Open(r.ID) })
		t.setHeads("instance", "/v1", "")
	}
	return t
}

func (s *Service) endpointTarget(old *table, e gatewaydb.AllEndpointsRow) (*target, error) {
	t := &target{id: e.ID, name: e.Name, model: e.Model, endpoint: true, address: e.BaseUrl}
	if t.keep(old) { // an endpoint's key never changes
		return t, nil
	}
	u, err := url.Parse(e.BaseUrl)
	if err != nil {
		return nil, fmt.Errorf("read its URL: %w", err)
	}
	key := ""
	if e.KeySealed != nil {
		opened, err := s.ring.Open(keyPlace(e.OrganisationID, e.ID), e.KeySealed)
		if err != nil {
			return nil, fmt.Errorf("open its key: %w", err)
		}
		key = string(opened)
	}
	port, secure := u.Port(), (*tls.Config)(nil)
	if u.Scheme == "https" {
		secure = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	}
	if port == "" {
		port = u.Scheme // a service name, as the dialer takes it
	}
	t.server = upstream.New(upstream.TCP(dialer(e.Private), net.JoinHostPort(u.Hostname(), port), secure))
	t.setHeads(u.Host, u.EscapedPath(), key)
	return t, nil
}

// keep takes over what the same target of the table before has.
func (t *target) keep(old *table) bool {
	before := old.targets[t.id]
	if before == nil {
		t.replica = balance.NewReplica(t.id[:])
		return false
	}
	t.replica, t.checked = before.replica, before.checked
	if before.address != t.address {
		return false
	}
	t.server, t.heads = before.server, before.heads
	return true
}

// setHeads writes the heads of requests of each kind. Nothing of the client's
// head goes on but its trace.
func (t *target) setHeads(host, base, key string) {
	authorization := ""
	if key != "" {
		authorization = "Authorization: Bearer " + key + "\r\n"
	}
	for kind := openai.Chat; kind < openai.Foreign; kind++ {
		t.heads[kind] = []byte("POST " + enginePath(base, kind) + " HTTP/1.1\r\nHost: " + host +
			"\r\nUser-Agent: inventiv\r\nContent-Type: application/json\r\n" + authorization)
	}
}

// route returns the route to a model, made if there is none.
func (t *table) route(organisation uuid.UUID, model string) *route {
	key := routeKey{organisation, model}
	r := t.routes[key]
	if r == nil {
		quoted, _ := json.Marshal(model) // a string always marshals
		r = &route{model: model, quoted: quoted, queue: &queue{}}
		t.routes[key] = r
		t.lists[organisation] = append(t.lists[organisation], r)
	}
	return r
}

// add puts a target on a route.
func (t *table) add(organisation uuid.UUID, next *target) {
	t.targets[next.id], next.organisation = next, organisation
	r := t.route(organisation, next.model)
	r.targets = append(r.targets, next)
}

// setPrices gives each route its organisation's price, or else the platform's.
func (t *table) setPrices(prices []Price) {
	book := make(map[routeKey]Price, len(prices))
	for _, p := range prices {
		book[routeKey{p.Organisation, p.Model}] = p
	}
	for key, r := range t.routes {
		own, ok := book[key]
		if !ok {
			own = book[routeKey{uuid.Nil, key.model}]
		}
		r.price = own
	}
}
