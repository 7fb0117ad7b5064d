package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"

	"github.com/alecthomas/kong"

	"github.com/hypertick/hypertick/api"
)

// listener is an address of the demo, and the flag that names it.
type listener struct {
	flag string
	addr *string
}

// listeners returns all addresses of the demo, in the order of --port-base.
func (c *demoCmd) listeners() []listener {
	return []listener{
		{"listen", &c.Listen}, {"broker-listen", &c.BrokerListen}, {"database-listen", &c.DatabaseListen},
		{"metrics-listen", &c.MetricsListen}, {"api-metrics-listen", &c.APIMetricsListen}, {"notify-metrics-listen", &c.NotifyMetricsListen},
	}
}

// firstMetrics is the index of the first metrics address in listeners.
const firstMetrics = 3

// setAddresses sets each address that no flag or variable names. With --port-base
// the ports count up from it. Without it the ports of the metrics count up from
// that of --listen if it is not the default; the others have their defaults.
func (c *demoCmd) setAddresses(given func(flag string) bool) error {
	all := c.listeners()
	most := 65535 - len(all) + 1
	base, first := c.PortBase, 0
	switch {
	case given("port-base") && (base < 1 || base > most):
		return usagef("--port-base: want a port from 1 to %d, got %d", most, base)
	case base == 0:
		if port := portOf(c.Listen); port != portOf(api.DefaultListen) && port <= most {
			base, first = port, firstMetrics
		}
	}
	if base != 0 {
		for i, l := range all[first:] {
			if !given(l.flag) {
				*l.addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(base+first+i))
			}
		}
	}
	for i, l := range all {
		at := slices.IndexFunc(all[:i], func(other listener) bool { return *other.addr == *l.addr })
		if at >= 0 && portOf(*l.addr) != 0 {
			return usagef("--%s and --%s: want two addresses, got %s for both", all[at].flag, l.flag, *l.addr)
		}
	}
	return nil
}

// portOf returns 0 if an address has no port; listening on it then fails.
func portOf(addr string) int {
	_, port, _ := net.SplitHostPort(addr)
	n, _ := net.LookupPort("tcp", port)
	return n
}

// given reports whether a flag or its variable is set.
func given(k *kong.Context, name string) bool {
	for _, p := range k.Path {
		if p.Flag != nil && p.Flag.Name == name {
			return true
		}
	}
	for _, f := range k.Flags() {
		if f.Name == name {
			return slices.ContainsFunc(f.Envs, func(variable string) bool { _, ok := os.LookupEnv(variable); return ok })
		}
	}
	return false
}

// free returns an error if an address cannot be listened on.
func free(ctx context.Context, flag, addr string) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		return fmt.Errorf("--%s %s cannot be used (is another demo running? a second one needs its own ports and data: --port-base N --data-dir DIR): %w", flag, addr, err)
	}
	return l.Close()
}
