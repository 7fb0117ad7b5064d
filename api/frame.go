package api

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"
)

// requestIDHeader carries the name of a request, given by the client or by us.
const requestIDHeader = "X-Request-ID"

type requestIDKey struct{}

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// frame is what every request passes through: its name and deadline, the
// answer to whatever went wrong, the access log.
func (s *Server) frame(c *fiber.Ctx) error {
	start := time.Now()
	id := c.Get(requestIDHeader)
	if !validRequestID(id) {
		id = rand.Text()
	}
	ctx, cancel := context.WithTimeout(context.WithValue(s.base, requestIDKey{}, id), s.cfg.RequestTimeout)
	defer cancel()
	c.SetUserContext(ctx)

	method, path := c.Method(), c.Path()
	// fasthttp sends no body to a HEAD, whatever Fiber believes the method is.
	if method == http.MethodHead {
		c.Method(http.MethodGet)
	}
	if err := s.next(c); err != nil {
		_ = s.handleError(c, err)
	}
	c.Set(requestIDHeader, id)
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	if len(c.Response().Header.Peek(fiber.HeaderCacheControl)) == 0 {
		c.Set(fiber.HeaderCacheControl, "no-cache")
	}

	status := c.Response().StatusCode()
	level := slog.LevelInfo
	if status >= 500 {
		level = slog.LevelWarn
	}
	s.cfg.Log.LogAttrs(ctx, level, "request",
		slog.String("request_id", id), slog.String("method", method), slog.String("path", path),
		slog.Int("status", status), slog.Int("bytes", len(c.Response().Body())),
		slog.Duration("took", time.Since(start)), slog.String("remote", c.Context().RemoteAddr().String()))
	return nil
}

// next runs the rest of the request and turns a panic into an error.
func (s *Server) next(c *fiber.Ctx) (err error) {
	defer func() {
		if r := recover(); r != nil {
			s.cfg.Log.ErrorContext(c.UserContext(), "panic", slog.String("request_id", requestID(c.UserContext())),
				slog.Any("panic", r), slog.String("stack", string(debug.Stack())))
			c.Response().Reset()
			err = problem(http.StatusInternalServerError, "Something went wrong here; the log has the details.")
		}
	}()
	// huma parses the address again and trusts that it can.
	u, err := url.Parse(string(c.Request().RequestURI()))
	if err == nil {
		_, err = url.ParseQuery(u.RawQuery)
	}
	if err != nil {
		return problem(http.StatusBadRequest, "The address of the request does not parse: want valid percent-encoding.")
	}
	return c.Next()
}

// handleError answers what no operation has: unknown paths and methods, and
// requests that are broken or too large, some of them before frame.
func (s *Server) handleError(c *fiber.Ctx, err error) error {
	p := asProblem(err)
	switch {
	case p.Status == http.StatusMethodNotAllowed:
		allow := string(c.Response().Header.Peek(fiber.HeaderAllow))
		if strings.Contains(allow, http.MethodGet) && !strings.Contains(allow, http.MethodHead) {
			allow += ", " + http.MethodHead
		}
		allow += ", " + http.MethodOptions
		c.Set(fiber.HeaderAllow, allow)
		if c.Method() == http.MethodOptions {
			c.Status(http.StatusNoContent)
			return nil
		}
		p.Detail = fmt.Sprintf("This path does not answer %s; it answers %s.", clip(c.Method()), allow)
	case p.Status == http.StatusNotFound && p.Detail == "":
		p.Detail = fmt.Sprintf("There is nothing at %s; /openapi.json lists what there is.", clip(c.Path()))
	case p.Detail == "":
		p.Detail = "The request cannot be read: " + strings.ToLower(p.Title) + "."
	}
	if p.RequestID = requestID(c.UserContext()); p.RequestID == "" {
		p.RequestID = rand.Text()
		c.Set(requestIDHeader, p.RequestID)
	}
	if err := c.Status(p.Status).JSON(p); err != nil {
		return fmt.Errorf("write problem: %w", err)
	}
	c.Set(fiber.HeaderContentType, problemType)
	return nil
}

// validRequestID keeps a client's name for its request out of the log unless
// it is short and plain.
func validRequestID(id string) bool {
	if len(id) == 0 || len(id) > 64 {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

func clip(s string) string { return clipTo(s, 64) }

// clipTo cuts between characters.
func clipTo(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
