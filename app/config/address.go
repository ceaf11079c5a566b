package config

import (
	"net"
	"net/netip"
	"net/url"
)

// Site returns the address that people use: PublicURL, or what follows from
// bound, the address that the server really listens at.
func (s *Serve) Site(bound string) string {
	if s.PublicURL != "" {
		return s.PublicURL
	}
	return "http://" + reachable(bound, "127.0.0.1")
}

// Hosts returns the names that the server answers to: those of PublicURL and
// bound, the loopback ones, and AllowedHosts.
func (s *Serve) Hosts(bound string) []string {
	hosts := append([]string{"localhost", "127.0.0.1", "::1"}, s.AllowedHosts...)
	if host, _, err := net.SplitHostPort(bound); err == nil && !isEvery(host) {
		hosts = append(hosts, host)
	}
	if u, err := url.Parse(s.PublicURL); err == nil && u.Hostname() != "" {
		hosts = append(hosts, u.Hostname())
	}
	return hosts
}

// AgentEndpoints returns the addresses that agents dial: AgentEndpoint, or what
// follows from bound, the address that the agents' listener really listens at.
// Where that is every address of the machine, PublicURL says its name.
func (s *Serve) AgentEndpoints(bound string) []string {
	if len(s.AgentEndpoint) > 0 {
		return s.AgentEndpoint
	}
	host := "127.0.0.1"
	if u, err := url.Parse(s.PublicURL); err == nil && u.Hostname() != "" {
		host = u.Hostname()
	}
	return []string{reachable(bound, host)}
}

// reachable returns bound with host in place of "every address".
func reachable(bound, host string) string {
	listened, port, err := net.SplitHostPort(bound)
	if err != nil {
		return bound
	}
	if !isEvery(listened) {
		host = listened
	}
	return net.JoinHostPort(host, port)
}

// isEvery reports whether host means all addresses of the machine.
func isEvery(host string) bool {
	if host == "" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsUnspecified()
}
