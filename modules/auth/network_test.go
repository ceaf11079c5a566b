package auth_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/web"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
)

// networks reads networks that are good.
func networks(t *testing.T, texts ...string) auth.Networks {
	t.Helper()
	n, err := auth.ParseNetworks(texts)
	ok(t, err)
	return n
}

func TestParseNetworks_readsNetworksAndAddresses(t *testing.T) {
	t.Parallel()
	got := networks(t, "10.1.2.3/8", " 192.0.2.7 ", "10.0.0.0/8", "2001:db8::1/32", "::ffff:192.0.2.9").Texts()
	if diff := cmp.Diff([]string{"10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32", "192.0.2.9/32"}, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"", "localhost", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/-1", "::ffff:10.0.0.0/104", "1.2.3.4:80"} {
		_, err := auth.ParseNetworks([]string{bad})
		is(t, err, fault.Invalid, "")
		if f := fault.As(err); f == nil || f.Field != "networks" {
			t.Errorf("%q: %v does not name its field", bad, err)
		}
	}
	_, err := auth.ParseNetworks(strings.Fields(strings.Repeat("10.0.0.0/8 ", 60)))
	ok(t, err) // it is one network
	var many []string
	for i := range 51 {
		many = append(many, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}).String())
	}
	_, err = auth.ParseNetworks(many)
	is(t, err, fault.Invalid, "")
}

func TestMayCallFrom_B06_networks(t *testing.T) {
	t.Parallel()
	if err := (auth.Principal{}).MayCallFrom("192.0.2.1:1"); err != nil {
		t.Errorf("without networks: %v", err)
	}
	list := networks(t, "10.0.0.0/8", "2001:db8::/32")
	p := auth.Principal{Networks: &list}
	for remote, may := range map[string]bool{
		"10.255.0.1:443": true, "10.0.0.1": true, "[2001:db8::5]:1": true, "[::ffff:10.1.1.1]:80": true, "11.0.0.1:443": false,
		"[2001:db9::5]:1": false, "[fe80::1%eth0]:1": false, "": false, "@": false, "10.0.0.1.evil.test:80": false,
	} {
		err := p.MayCallFrom(remote)
		if (err == nil) != may {
			t.Errorf("%q: %v", remote, err)
		}
		if !may {
			is(t, err, fault.Denied, "ip_not_allowed")
		}
	}
	if err := p.MayCallFrom("192.0.2.7:5"); !strings.Contains(err.Error(), "192.0.2.7,") {
		t.Errorf("%v does not name the address", err)
	}
}

// The whole way of a request: what it says of itself counts only behind a
// proxy that is trusted.
func TestGuard_B06_networksOfAKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	k, text := b.key(b.owner, auth.ScopeAdmin)
	ok(t, b.SetKeyNetworks(t.Context(), b.owner, k.ID, networks(t, "10.0.0.0/8")))
	list, err := b.ListKeys(t.Context(), b.owner)
	ok(t, err)
	if diff := cmp.Diff([]string{"10.0.0.0/8"}, list[0].Networks.Texts()); diff != "" {
		t.Error(diff)
	}
	front := func(proxies ...string) http.Handler {
		return web.Front(web.FrontConfig{Hosts: []string{"example.com"}, Proxies: networks(t, proxies...)}, site(t, b, "http://example.com"))
	}
	for _, c := range []struct {
		name   string
		h      http.Handler
		header string
		status int
	}{
		{"outside", front(), "X-None: 1", 403},
		{"forged", front(), "X-Forwarded-For: 10.1.1.1", 403},
		{"forged behind a proxy", front("192.0.2.7"), "X-Forwarded-For: 10.1.1.1, 198.51.100.1", 403},
		{"behind a proxy", front("192.0.2.7"), "X-Forwarded-For: 10.1.1.1", 200},
	} {
		status, what, _ := get(t, c.h, "/api/keys.own", "Authorization: Bearer "+text, c.header)
		if status != c.status || status == 403 && what != "ip_not_allowed" {
			t.Errorf("%s: %d %s, want %d", c.name, status, what, c.status)
		}
	}
}

func TestSetKeyNetworks_refusals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	k, text := b.key(b.owner, auth.ScopeAdmin)
	user := b.join("user@example.test", auth.User)
	is(t, b.SetKeyNetworks(ctx, user, k.ID, nil), fault.NotFound, "")
	is(t, b.SetKeyNetworks(ctx, auth.Actor{}, k.ID, nil), fault.Denied, "no_organisation")
	ok(t, b.SetKeyNetworks(ctx, b.owner, k.ID, networks(t, "10.0.0.0/8")))
	_, err := b.AuthenticateKey(ctx, text, "192.0.2.1:1", auth.ScopeAdmin)
	is(t, err, fault.Denied, "ip_not_allowed")

	// A key hands on no more than it has.
	actor, err := b.AuthenticateKey(ctx, text, "10.0.0.1:1", auth.ScopeAdmin)
	ok(t, err)
	is(t, b.SetKeyNetworks(ctx, actor, k.ID, nil), fault.Denied, "networks_beyond_parent")
	is(t, b.SetKeyNetworks(ctx, actor, k.ID, networks(t, "10.0.0.0/7")), fault.Denied, "networks_beyond_parent")
	is(t, b.SetKeyNetworks(ctx, actor, k.ID, networks(t, "10.1.0.0/16", "192.0.2.1")), fault.Denied, "networks_beyond_parent")
	child, _, err := b.CreateKey(ctx, actor, "child", auth.ScopeAdmin, time.Time{}, nil)
	ok(t, err)
	list, err := b.ListKeys(ctx, b.owner)
	ok(t, err)
	if list[0].ID != child.ID || len(list[0].Networks) != 1 {
		t.Errorf("the key that a key made can be used from %v", list[0].Networks)
	}
	ok(t, b.SetKeyNetworks(ctx, actor, child.ID, networks(t, "10.1.0.0/16")))
}

// A key that shut itself out could not let itself in again; a session can.
func TestSetKeyNetworks_aKeyDoesNotShutItselfOut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	k, text := b.key(b.owner, auth.ScopeAdmin)
	actor, err := b.AuthenticateKey(ctx, text, "192.0.2.7:1", auth.ScopeAdmin)
	ok(t, err)
	for _, from := range []string{"192.0.2.7", "::ffff:192.0.2.7", "2001:db8::7", ""} {
		actor.IP = from
		err := b.SetKeyNetworks(ctx, actor, k.ID, networks(t, "10.0.0.0/8"))
		is(t, err, fault.Invalid, "networks_exclude_caller")
		if f := fault.As(err); f == nil || f.Field != "networks" {
			t.Errorf("from %q: %v does not name its field", from, err)
		}
	}
	actor.IP = "::ffff:192.0.2.7"
	ok(t, b.SetKeyNetworks(ctx, actor, k.ID, nil))
	ok(t, b.SetKeyNetworks(ctx, actor, k.ID, networks(t, "10.0.0.0/8", "192.0.2.0/24")))
	other, _ := b.key(b.owner, auth.ScopeAdmin)
	ok(t, b.SetKeyNetworks(ctx, actor, other.ID, networks(t, "10.0.0.0/8")))
	owner := b.owner
	owner.IP = "192.0.2.7"
	ok(t, b.SetKeyNetworks(ctx, owner, k.ID, networks(t, "10.0.0.0/8")))
}
