package api

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/gofiber/fiber/v2"
)

const apiKeyHeader = "X-API-Key"

// admit lets a request under /v1 through when its key is known and its quota
// is not used up. Requests without a good key share the quota of their
// address, so that trying keys is limited too.
func (s *Server) admit(c *fiber.Ctx) error {
	x := exchangeOf(c)
	x.guarded = s.keys != nil
	known, given := s.keys == nil, false
	if s.keys != nil {
		var secret string
		if secret, given = presented(c); given {
			x.key, known = s.keys.find(secret)
		}
	}
	if s.limit != nil {
		who := "key " + x.key
		if x.key == "" {
			who = s.remote(c)
		}
		if err := s.limit.spend(c, who); err != nil {
			return err
		}
	}
	switch {
	case known:
		return c.Next()
	case given:
		c.Set(fiber.HeaderWWWAuthenticate, `Bearer realm="hypertick", error="invalid_token"`)
		return problem(http.StatusUnauthorized, "This API key is not known here.")
	default:
		c.Set(fiber.HeaderWWWAuthenticate, `Bearer realm="hypertick"`)
		return problem(http.StatusUnauthorized, "An API key is needed: send it as Authorization: Bearer KEY, or as X-API-Key: KEY.")
	}
}

// presented is the key a request carries.
func presented(c *fiber.Ctx) (secret string, given bool) {
	scheme, rest, _ := strings.Cut(c.Get(fiber.HeaderAuthorization), " ")
	if strings.EqualFold(scheme, "Bearer") {
		if secret = strings.TrimSpace(rest); secret != "" {
			return secret, true
		}
	}
	secret = c.Get(apiKeyHeader)
	return secret, secret != ""
}

// remote is the network a request came from: behind trusted proxies, the
// last address in X-Forwarded-For that is none of theirs. What is left of
// it is the client's claim. An IPv6 client has a whole /64 to itself.
func (s *Server) remote(c *fiber.Ctx) string {
	addr, _ := netip.AddrFromSlice(c.Context().RemoteIP())
	addr = addr.Unmap()
	if s.trusted(addr) {
		var hops []string
		for _, line := range c.Request().Header.PeekAll(fiber.HeaderXForwardedFor) {
			hops = append(hops, strings.Split(string(line), ",")...)
		}
		for i := len(hops) - 1; i >= 0; i-- {
			hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
			if err != nil {
				break
			}
			if addr = hop.Unmap().WithZone(""); !s.trusted(addr) {
				break
			}
		}
	}
	if addr.Is6() {
		if p, err := addr.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return addr.String()
}

func (s *Server) trusted(addr netip.Addr) bool {
	for _, p := range s.cfg.TrustedProxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// guardAddress refuses to serve everybody the network has, unless told to.
func (cfg *Config) guardAddress(addr net.Addr) error {
	if loopback, err := Loopback(addr.String()); err == nil && loopback || cfg.KeysFile != "" || cfg.Insecure {
		return nil
	}
	return fmt.Errorf("listen on %s: beyond this machine the api wants API keys (api-keys-file), or to be told to go without (insecure)", addr)
}

// Loopback reports whether only this machine can reach an address to listen on.
func Loopback(listen string) (bool, error) {
	addr, err := net.ResolveTCPAddr("tcp", listen)
	if err != nil {
		return false, fmt.Errorf("want host:port, got %q: %w", listen, err)
	}
	return addr.IP.IsLoopback(), nil
}
