package notify

import (
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// guard rejects connections to addresses that are not public. It checks the address
// that is dialled, after names are resolved: so it cannot be bypassed by DNS
// rebinding.
type guard struct {
	all     bool
	allowed []netip.Prefix
}

// refusal is the error of a target that is not public.
type refusal struct{ addr netip.Addr }

func (r *refusal) Error() string {
	return fmt.Sprintf("the target's address %s is not public: allow it with --allow-targets or --allow-private-targets", r.addr)
}

func (g *guard) dialer(timeout time.Duration, resolver *net.Resolver) *net.Dialer {
	return &net.Dialer{Timeout: timeout, Resolver: resolver, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("dial: want an address and a port, got %q", address)
		}
		if addr := to.Addr(); !g.allows(addr) {
			return &refusal{addr.Unmap()}
		}
		return nil
	}}
}

func (g *guard) allows(addr netip.Addr) bool {
	addr = addr.WithZone("").Unmap()
	if g.all || public(addr) {
		return true
	}
	for _, p := range g.allowed {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// special are the networks of IANA's registries of special-purpose addresses
// that net/netip does not know.
var special = prefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
)

// nat64 holds an IPv4 address in its last 32 bits.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// unicast6 is the range of IPv6 from which public addresses are allocated.
var unicast6 = netip.MustParsePrefix("2000::/3")

func prefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, t := range texts {
		out[i] = netip.MustParsePrefix(t)
	}
	return out
}

// public reports whether an address is public.
func public(addr netip.Addr) bool {
	if nat64.Contains(addr) {
		b := addr.As16()
		addr = netip.AddrFrom4([4]byte(b[12:]))
	}
	if !addr.IsGlobalUnicast() || addr.IsPrivate() || addr.Is6() && !unicast6.Contains(addr) {
		return false
	}
	for _, p := range special {
		if p.Contains(addr) {
			return false
		}
	}
	return true
}
