package auth

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth/internal/authdb"
)

// Networks are where an API key may be used from.
type Networks []netip.Prefix

const maxNetworks = 50

// ParseNetworks reads networks such as 10.0.0.0/8 and single addresses. It
// fails with fault.Invalid for what is neither.
func ParseNetworks(texts []string) (Networks, error) {
	var all Networks
	for _, text := range texts {
		text = strings.TrimSpace(text)
		network, err := netip.ParsePrefix(text)
		if err != nil {
			var single netip.Addr
			if single, err = netip.ParseAddr(text); err == nil {
				single = single.Unmap().WithZone("")
				network = netip.PrefixFrom(single, single.BitLen())
			}
		}
		if err != nil || network.Addr().Is4In6() {
			return nil, fault.Newf(fault.Invalid, "%q is neither a network nor an address.", text).
				WithFix("Write networks as 10.0.0.0/8 or 2001:db8::/32, and addresses as 192.0.2.7.").WithField("networks")
		}
		if network = network.Masked(); !slices.Contains(all, network) {
			all = append(all, network)
		}
	}
	if len(all) > maxNetworks {
		return nil, fault.Newf(fault.Invalid, "A key can have at most %d networks.", maxNetworks).
			WithFix("Join neighbouring ones.").WithField("networks")
	}
	return all, nil
}

// Texts returns the networks as people write them.
func (n Networks) Texts() []string {
	texts := make([]string, len(n))
	for i, network := range n {
		texts[i] = network.String()
	}
	return texts
}

// networksOf reads what the database keeps, which has a type for networks. One
// that could not be read holds no address.
func networksOf(texts []string) Networks {
	all := make(Networks, len(texts))
	for i, text := range texts {
		all[i], _ = netip.ParsePrefix(text)
	}
	return all
}

// MayCallFrom returns nil when the key may be used from an address, which is
// written with or without a port, and fault.Denied, ip_not_allowed, with the
// address otherwise.
func (p Principal) MayCallFrom(remote string) error {
	if p.Networks == nil {
		return nil
	}
	address := addressOf(remote)
	if p.Networks.contain(address) {
		return nil
	}
	return fault.Newf(fault.Denied, "This API key may not be used from %s, the address that this request came from.", address).
		WithFix("Call from one of the key's networks, or have this address added to them. Behind a proxy, the operator must name it in INVENTIV_TRUSTED_PROXIES.").
		WithKind("ip_not_allowed")
}

// addressOf reads an address with or without a port. One that cannot be read is
// in no network.
func addressOf(remote string) netip.Addr {
	address, _ := netip.ParseAddr(remote)
	if with, err := netip.ParseAddrPort(remote); err == nil {
		address = with.Addr()
	}
	return address.Unmap().WithZone("")
}

func (n Networks) contain(address netip.Addr) bool {
	return slices.ContainsFunc(n, func(network netip.Prefix) bool { return network.Contains(address) })
}

// SetKeyNetworks says where an API key may be used from; none means from
// everywhere. Every process that reaches the database obeys within three
// seconds. It fails with fault.NotFound for a key that is not there, or that
// the actor may not handle; with fault.Denied, networks_beyond_parent, when a
// key would let one be used from where it cannot be used itself; and with
// fault.Invalid, networks_exclude_caller, when a key would shut itself out.
func (s *Service) SetKeyNetworks(ctx context.Context, actor Actor, id uuid.UUID, networks Networks) error {
	owner, err := whose(actor)
	if err != nil {
		return err
	}
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		q := authdb.New(tx)
		change, err := q.BumpKeys(ctx)
		if err != nil {
			return fmt.Errorf("take a version: %w", err)
		}
		if err := notBeyondOwnNetworks(ctx, q, actor, networks); err != nil {
			return err
		}
		if err := notWithoutItself(actor, id, networks); err != nil {
			return err
		}
		n, err := q.SetKeyNetworks(ctx, authdb.SetKeyNetworksParams{
			OrganisationID: actor.Organisation, ID: id, OwnerID: owner, Networks: networks.Texts(), Change: change,
		})
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		if n == 0 {
			return fault.New(fault.NotFound, "There is no such API key.")
		}
		return changedKey(ctx, tx, actor, "key.networks", id, map[string]any{"networks": networks.Texts()})
	})
	if err != nil {
		return fmt.Errorf("set the networks of an API key: %w", err)
	}
	s.Keys.Wake()
	return nil
}

// notWithoutItself keeps a key from shutting itself out of where it is used from,
// which it could not undo. Sessions are bound to no network, so they may.
func notWithoutItself(actor Actor, id uuid.UUID, networks Networks) error {
	address := addressOf(actor.IP)
	if actor.KeyID != id || len(networks) == 0 || networks.contain(address) {
		return nil
	}
	return fault.Newf(fault.Invalid, "This request comes with that very key from %s, which is in none of the networks: the key would shut itself out.", address).
		WithFix("Name a network with this address too, or make the change with another key or in the console.").
		WithField("networks").WithKind("networks_exclude_caller")
}

func notBeyondOwnNetworks(ctx context.Context, q *authdb.Queries, actor Actor, networks Networks) error {
	if actor.KeyID == uuid.Nil {
		return nil
	}
	texts, err := q.KeyNetworks(ctx, authdb.KeyNetworksParams{OrganisationID: actor.Organisation, ID: actor.KeyID})
	if err != nil {
		return fmt.Errorf("look up the key that asks: %w", err)
	}
	own := networksOf(texts)
	beyond := func(n netip.Prefix) bool {
		return !slices.ContainsFunc(own, func(o netip.Prefix) bool { return o.Bits() <= n.Bits() && o.Contains(n.Addr()) })
	}
	if len(own) > 0 && (len(networks) == 0 || slices.ContainsFunc(networks, beyond)) {
		return fault.New(fault.Denied, "A key cannot let one be used from where it cannot be used itself.").
			WithFix("Keep to its networks: " + strings.Join(own.Texts(), ", ") + ".").WithField("networks").WithKind("networks_beyond_parent")
	}
	return nil
}
