package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
)

const (
	// pagePolicy lets the built-in pages load what this server has and nothing
	// else. Chart and reference style elements as they go, hence 'unsafe-inline'
	// for styles; scripts come from files alone.
	pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; " +
		"connect-src 'self'; manifest-src 'self'; worker-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	// dataPolicy is for answers that a browser should not run at all.
	dataPolicy = "default-src 'none'; frame-ancestors 'none'"

	corsMethods = "GET, HEAD, OPTIONS"
	corsRequest = "Accept, Authorization, If-None-Match, Last-Event-ID, Traceparent, Tracestate, " + apiKeyHeader + ", " + requestIDHeader
	corsExpose  = "ETag, Link, RateLimit, RateLimit-Policy, Retry-After, " + requestIDHeader
	corsMaxAge  = "600"
)

// secure sets the headers that every answer has.
func (s *Server) secure(c *fiber.Ctx, x *exchange) {
	h := &c.Response().Header
	setIfAbsent := func(name, value string) {
		if len(h.Peek(name)) == 0 {
			h.Set(name, value)
		}
	}
	h.Set(requestIDHeader, x.id)
	h.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	h.Set(fiber.HeaderXFrameOptions, "DENY")
	h.Set(fiber.HeaderReferrerPolicy, "no-referrer")
	setIfAbsent("Cross-Origin-Resource-Policy", "same-origin")
	if strings.HasPrefix(string(h.ContentType()), fiber.MIMETextHTML) {
		setIfAbsent("Cross-Origin-Opener-Policy", "same-origin")
		setIfAbsent(fiber.HeaderContentSecurityPolicy, pagePolicy)
	} else {
		setIfAbsent(fiber.HeaderContentSecurityPolicy, dataPolicy)
	}
	setIfAbsent(fiber.HeaderCacheControl, "no-cache")
	if x.guarded {
		// What takes a key to see is for nobody's shared cache.
		if cc := string(h.Peek(fiber.HeaderCacheControl)); strings.Contains(cc, "public") {
			h.Set(fiber.HeaderCacheControl, strings.ReplaceAll(cc, "public", "private"))
		}
		c.Vary(fiber.HeaderAuthorization, apiKeyHeader)
	}
}

// checkOrigins says what is wrong with the origins of a configuration.
func checkOrigins(origins []string) error {
	for _, o := range origins {
		if o == "*" {
			continue
		}
		u, err := url.Parse(o)
		if err != nil || u.Scheme == "" || u.Host == "" || u.Scheme+"://"+u.Host != o || o != strings.ToLower(o) {
			return fmt.Errorf("cors origin %q: want * or an origin like https://example.com, lower case and without a path", o)
		}
	}
	return nil
}

// cors lets pages of the configured origins read the answers. Keys travel in
// a header of the page's own, never in cookies, so credentials stay out of it.
// It is true when the request was a preflight and has been answered.
func (s *Server) cors(c *fiber.Ctx) (answered bool) {
	origins := s.cfg.CORSOrigins
	if len(origins) == 0 {
		return false
	}
	origin := c.Get(fiber.HeaderOrigin)
	allow := ""
	switch {
	case slices.Contains(origins, "*"):
		allow = "*"
	case slices.Contains(origins, origin):
		allow = origin
	}
	if allow != "*" {
		c.Vary(fiber.HeaderOrigin)
	}
	if origin == "" || allow == "" {
		return false
	}
	c.Set(fiber.HeaderAccessControlAllowOrigin, allow)
	c.Set("Cross-Origin-Resource-Policy", "cross-origin")
	if c.Method() != http.MethodOptions || c.Get(fiber.HeaderAccessControlRequestMethod) == "" {
		c.Set(fiber.HeaderAccessControlExposeHeaders, corsExpose)
		return false
	}
	c.Vary(fiber.HeaderAccessControlRequestMethod, fiber.HeaderAccessControlRequestHeaders)
	c.Set(fiber.HeaderAccessControlAllowMethods, corsMethods)
	c.Set(fiber.HeaderAccessControlAllowHeaders, corsRequest)
	c.Set(fiber.HeaderAccessControlMaxAge, corsMaxAge)
	c.Status(http.StatusNoContent)
	return true
}
