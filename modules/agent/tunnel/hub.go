package tunnel

import (
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"

	"github.com/google/uuid"
)

// maxLinks bounds the links of one instance: a node keeps two, and a few more
// while it reconnects from a connection that is dead but not known to be.
const maxLinks = 16

// Hub is the control plane's end of every tunnel. It is safe for concurrent
// use. Make it with NewHub.
type Hub struct {
	changed func(id uuid.UUID)

	mu     sync.Mutex
	links  map[uuid.UUID][]*link
	closed bool
}

// NewHub returns a hub without links. It calls changed, when not nil, after an
// instance gained or lost a link; the calls come from the goroutines of Accept,
// with nothing locked.
func NewHub(changed func(id uuid.UUID)) *Hub {
	if changed == nil {
		changed = func(uuid.UUID) {}
	}
	return &Hub{changed: changed, links: make(map[uuid.UUID][]*link)}
}

// Accept makes conn, on which the agent of instance id has been verified, a
// link, and blocks until the link ends. It always closes conn. It returns nil
// when Drop or Close ended the link, and why it ended otherwise.
func (h *Hub) Accept(id uuid.UUID, conn net.Conn) error {
	l := newLink(conn)
	if err := h.add(id, l); err != nil {
		l.drop()
		_ = l.wait()
		return err
	}
	h.changed(id)
	err := l.wait()
	h.remove(id, l)
	h.changed(id)
	return err
}

func (h *Hub) add(id uuid.UUID, l *link) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return ErrClosed
	}
	if len(h.links[id]) >= maxLinks {
		return ErrTooManyLinks
	}
	h.links[id] = append(h.links[id], l)
	return nil
}

func (h *Hub) remove(id uuid.UUID, l *link) {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.links[id]
	left := make([]*link, 0, len(old)) // see of
	for _, other := range old {
		if other != l {
			left = append(left, other)
		}
	}
	if len(left) == 0 {
		delete(h.links, id)
		return
	}
	h.links[id] = left
}

// Connected returns how many links of the instance take requests.
func (h *Hub) Connected(id uuid.UUID) int {
	n := 0
	for _, l := range h.of(id) {
		if l.takes() {
			n++
		}
	}
	return n
}

// Linked returns the instances that have a link which takes requests.
func (h *Hub) Linked() []uuid.UUID {
	h.mu.Lock()
	defer h.mu.Unlock()
	ids := make([]uuid.UUID, 0, len(h.links))
	for id, links := range h.links {
		if slices.ContainsFunc(links, (*link).takes) {
			ids = append(ids, id)
		}
	}
	return ids
}

// Drop ends every link of the instance and every request in them. The agent may
// connect again; refusing it is the caller's to do, before Accept.
func (h *Hub) Drop(id uuid.UUID) {
	for _, l := range h.of(id) {
		l.drop()
	}
}

// Close ends every link. Accept returns ErrClosed from then on.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed = true
	var all []*link
	for _, links := range h.links {
		all = append(all, links...)
	}
	h.mu.Unlock()
	for _, l := range all {
		l.drop()
	}
}

// of returns the instance's links. What is in the slice never changes: add
// appends beyond it and remove makes a new one.
func (h *Hub) of(id uuid.UUID) []*link {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.links[id]
}

// Open opens a stream to the agent of the instance, for requests one after
// another, on the link with the fewest in it. It returns ErrNotConnected when
// there is no link that takes one.
func (h *Hub) Open(id uuid.UUID) (*Stream, error) {
	var tried *link
	for range 2 {
		l := pick(h.of(id), tried)
		if l == nil {
			break
		}
		if t, err := l.open(); err == nil {
			return t, nil
		}
		tried = l
	}
	return nil, ErrNotConnected
}

// Transport returns what sends requests to the agent of the instance. It needs
// no link yet: each request takes the link with the fewest requests in it, of
// those that are there at that moment. Scheme "http" and any host will do.
//
// RoundTrip returns ErrNotConnected when there is no link. It sends nothing
// twice, with one exception: a link that is found dead before anything was
// written to it is left for another, if the request's body can be had again
// (see http.Request.GetBody).
func (h *Hub) Transport(id uuid.UUID) http.RoundTripper { return &route{h, id} }

type route struct {
	hub *Hub
	id  uuid.UUID
}

// RoundTrip implements http.RoundTripper.
func (t *route) RoundTrip(r *http.Request) (*http.Response, error) {
	var tried *link
	for {
		l := pick(t.hub.of(t.id), tried)
		if l == nil {
			if r.Body != nil && tried == nil {
				_ = r.Body.Close() // RoundTrip always closes it
			}
			return nil, ErrNotConnected
		}
		resp, err := l.roundTrip(r)
		if !errors.Is(err, errNoStream) {
			return resp, err
		}
		if tried != nil {
			return nil, ErrNotConnected
		}
		tried = l
		if r, err = again(r); err != nil {
			return nil, err
		}
	}
}

// pick returns the link with the fewest requests in it, except is left out; nil
// when there is none.
func pick(links []*link, except *link) *link {
	var best *link
	for _, l := range links {
		if l == except || !l.takes() {
			continue
		}
		if best == nil || l.running.Load() < best.running.Load() {
			best = l
		}
	}
	return best
}

// again returns r with a fresh body, as the first attempt has closed it.
func again(r *http.Request) (*http.Request, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return r, nil
	}
	if r.GetBody == nil {
		return nil, ErrNotConnected
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, err
	}
	fresh := *r
	fresh.Body = body
	return &fresh, nil
}
