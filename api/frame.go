package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// requestIDHeader carries the name of a request, given by the client or by us.
const requestIDHeader = "X-Request-ID"

// Routes of requests that no template matched.
const (
	routeUnknown   = "unknown"   // no such path or method
	routeMalformed = "malformed" // could not be read
)

// frame is what every request passes through: its name and deadline, the
// answer to whatever went wrong, headers, the record of it.
func (s *Server) frame(c *fiber.Ctx) error {
	s.metrics.inFlight.Inc()
	defer s.metrics.inFlight.Dec()
	x, cancel := s.begin(c)
	defer cancel()
	// fasthttp sends no body to a HEAD, whatever Fiber believes the method is.
	if x.method == http.MethodHead {
		c.Method(http.MethodGet)
	}
	if s.cors(c) {
		x.route = routeUnknown
	} else if err := s.next(c, x); err != nil {
		_ = s.handleError(c, err)
	}
	s.finish(c, x)
	return nil
}

// begin names a request and gives it a deadline and a span.
func (s *Server) begin(c *fiber.Ctx) (*exchange, context.CancelFunc) {
	x := &exchange{id: c.Get(requestIDHeader), method: c.Method(), path: c.Path(), start: time.Now()}
	if !validName(x.id) {
		x.id = rand.Text()
	}
	ctx, cancel := context.WithTimeout(context.WithValue(s.base, exchangeKey{}, x), s.cfg.RequestTimeout)
	ctx, x.span = s.tracer.begin(ctx, c, x)
	c.SetUserContext(ctx)
	return x, cancel
}

func (s *Server) finish(c *fiber.Ctx, x *exchange) {
	s.secure(c, x)
	s.record(c, x)
}

// next runs the rest of the request and turns a panic into an error.
func (s *Server) next(c *fiber.Ctx, x *exchange) (err error) {
	defer func() {
		if r := recover(); r != nil {
			s.cfg.Log.ErrorContext(c.UserContext(), "panic", slog.String("request_id", x.id),
				slog.Any("panic", r), slog.String("stack", string(debug.Stack())))
			x.route = template(c.Route().Path)
			dropBody(c)
			err = problem(http.StatusInternalServerError, "Something went wrong here; the log has the details.")
		}
	}()
	// huma parses the address again and trusts that it can.
	u, err := url.Parse(string(c.Request().RequestURI()))
	if err == nil {
		_, err = url.ParseQuery(u.RawQuery)
	}
	if err != nil {
		x.route = routeMalformed
		return problem(http.StatusBadRequest, "The address of the request does not parse: want valid percent-encoding.")
	}
	err = c.Next()
	if x.route = template(c.Route().Path); isUnrouted(err) {
		x.route = routeUnknown
	}
	return err
}

// template is a route as the OpenAPI document writes it.
func template(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if name, ok := strings.CutPrefix(p, ":"); ok {
			parts[i] = "{" + name + "}"
		}
	}
	return strings.Join(parts, "/")
}

// dropBody forgets what a handler had written before it failed, but not the
// headers that were set for whatever the answer is.
func dropBody(c *fiber.Ctx) {
	c.Response().ResetBody()
	for _, h := range []string{fiber.HeaderContentType, fiber.HeaderContentEncoding, fiber.HeaderETag, fiber.HeaderCacheControl, fiber.HeaderLastModified} {
		c.Response().Header.Del(h)
	}
}

// early answers requests that frame never saw: those that could not be read.
func (s *Server) early(c *fiber.Ctx, err error) error {
	x, cancel := s.begin(c)
	defer cancel()
	x.route = routeMalformed
	if herr := s.handleError(c, err); herr != nil {
		return herr
	}
	s.finish(c, x)
	return nil
}

// serveKnown passes on the requests whose method Fiber knows; it answers
// others in plain text.
func (s *Server) serveKnown(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		if methodLabel(string(ctx.Method())) != "other" {
			next(ctx)
			return
		}
		c := s.app.AcquireCtx(ctx)
		defer s.app.ReleaseCtx(c)
		method := string(ctx.Method())
		_ = s.early(c, problem(http.StatusNotImplemented, fmt.Sprintf("This server does not know the method %q.", clip(method))))
	}
}

// handleError answers what no operation has: unknown paths and methods, and
// requests that are broken or too large.
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
	case p.Detail != "":
	case p.Status == http.StatusNotFound:
		p.Detail = fmt.Sprintf("There is nothing at %s; /openapi.json lists what there is.", clip(c.Path()))
	case p.Status == http.StatusRequestHeaderFieldsTooLarge:
		p.Detail = fmt.Sprintf("The request line and the headers are too long: want at most %d bytes.", maxHeaderBytes)
	case p.Status == http.StatusRequestEntityTooLarge:
		p.Detail = fmt.Sprintf("The body is too large: want at most %d bytes.", maxBodyBytes)
	case p.Status == http.StatusRequestTimeout:
		p.Detail = fmt.Sprintf("The request did not arrive in time: want all of it within %v.", s.cfg.ReadTimeout)
	default:
		p.Detail = "The request cannot be read: " + strings.ToLower(p.Title) + "."
	}
	p.RequestID = requestID(c.UserContext())
	if err := c.Status(p.Status).JSON(p); err != nil {
		return fmt.Errorf("write problem: %w", err)
	}
	c.Set(fiber.HeaderContentType, problemType)
	return nil
}

// isUnrouted reports whether the router itself returned err.
func isUnrouted(err error) bool {
	var fe *fiber.Error
	return errors.As(err, &fe) && (fe.Code == http.StatusNotFound || fe.Code == http.StatusMethodNotAllowed)
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
