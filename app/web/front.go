package web

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
)

// FrontConfig says which names we answer to and whom we believe about clients.
type FrontConfig struct {
	// Hosts are the host names we answer to, without port.
	Hosts []string
	// Proxies are the networks whose forwarded headers are believed.
	Proxies []netip.Prefix
	// Refuse answers a request for another host; without it that is Refuse.
	Refuse Refusal
}

// Refusal answers a request that gets no further than the front door.
type Refusal func(http.ResponseWriter, *http.Request, *fault.Error)

// maxFields is how many header fields a request may have. How long its head may
// be is the server's to say.
const maxFields = 100

// LimitFields refuses requests with too many header fields, which is work for
// whoever reads them and of no use to anybody else.
func LimitFields(refuse Refusal, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fields := 0
		for _, values := range r.Header {
			fields += len(values)
		}
		if fields > maxFields {
			refuse(w, r, fault.Newf(fault.Invalid, "The request has more than %d header fields.", maxFields).
				WithKind(KindManyFields).WithFix("Send fewer."))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// forwarded are the headers by which proxies speak of the client.
var forwarded = []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip"}

// Front stands before everything that people and programs reach. Behind it,
// r.RemoteAddr is the client's own address and r.Host one of our names, whatever
// proxies there are, and no forwarded header is left to be believed by mistake.
//
// A request for another host is answered with 421: a web page that made its own
// name point at us must not get anything. /healthz is exempt, because whoever
// checks health often has nothing but an address.
func Front(cfg FrontConfig, next http.Handler) http.Handler {
	known := make(map[string]bool, len(cfg.Hosts))
	for _, h := range cfg.Hosts {
		known[hostName(h)] = true
	}
	if cfg.Refuse == nil {
		cfg.Refuse = Refuse
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(cfg.Proxies) > 0 {
			if peer, ok := addressOf(r.RemoteAddr); ok && within(cfg.Proxies, peer) {
				believe(cfg.Proxies, r, peer)
			}
		}
		for _, name := range forwarded {
			delete(r.Header, name)
		}
		if !known[r.Host] && !known[hostName(r.Host)] && r.URL.Path != "/healthz" {
			cfg.Refuse(w, r, fault.New(fault.Invalid, "This server does not answer to the host name of this request.").
				WithKind(KindMisdirected).
				WithFix("Use the server's public address, or add the name to INVENTIV_ALLOWED_HOSTS."))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// believe takes the client's address and the host from what the proxy at peer
// says. Addresses are read from the right, where the nearest proxy wrote, until
// one is not a trusted proxy: what stands left of it anybody may have forged.
func believe(proxies []netip.Prefix, r *http.Request, peer netip.Addr) {
	client := peer
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && within(proxies, client); i-- {
		hop, ok := addressOf(strings.TrimSpace(hops[i]))
		if !ok {
			break
		}
		client = hop
	}
	if client != peer {
		r.RemoteAddr = netip.AddrPortFrom(client, 0).String()
	}
	if host := r.Header.Get("X-Forwarded-Host"); host != "" && !strings.Contains(host, ",") {
		r.Host = host
	}
}

// addressOf reads an address with or without a port.
func addressOf(s string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap(), true
	}
	a, err := netip.ParseAddr(s)
	return a.Unmap(), err == nil
}

func within(networks []netip.Prefix, a netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// hostName returns host in lower case without its port, without the brackets
// of an IPv6 address and without a final dot.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
