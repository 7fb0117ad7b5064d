package api

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5/pgconn"
)

const problemType = "application/problem+json"

// retryAfter is the seconds a client is asked to wait for the database.
const retryAfter = "5"

// Problem is the body of every error: RFC 9457, and the request's name.
type Problem struct {
	huma.ErrorModel
	RequestID string `json:"request_id,omitempty" doc:"Names the request in the server's log. Also in the header X-Request-ID." example:"6ZB3TDOZ5U4CZYDXD2PVZRP4YE"`
}

// huma makes its own errors through this variable, and describes them in the
// OpenAPI document by what it returns.
func init() {
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
		if status >= http.StatusInternalServerError {
			errs = nil // theirs is internal text
		}
		if msg == "validation failed" {
			msg = "A parameter is not valid; errors says which."
		}
		return problem(status, msg, errs...)
	}
}

func problem(status int, detail string, errs ...error) *Problem {
	p := &Problem{ErrorModel: huma.ErrorModel{Status: status, Title: http.StatusText(status), Detail: detail}}
	for _, err := range errs {
		if err == nil {
			continue
		}
		p.Add(err)
		if d := p.Errors[len(p.Errors)-1]; d != nil {
			if v, ok := d.Value.(string); ok {
				d.Value = clip(v)
			}
		}
	}
	return p
}

// invalid is the 422 for one parameter, named as in "query.from".
func invalid(location, message string, value any) *Problem {
	return problem(http.StatusUnprocessableEntity, "A parameter is not valid; errors says which.",
		&huma.ErrorDetail{Location: location, Message: message, Value: value})
}

// asProblem makes a problem of what Fiber reports.
func asProblem(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	var fe *fiber.Error
	if errors.As(err, &fe) && fe.Code < http.StatusInternalServerError {
		return problem(fe.Code, "")
	}
	return problem(http.StatusInternalServerError, "Something went wrong here; the log has the details.")
}

// nameRequest puts the request's name into the problems of operations.
func nameRequest(ctx huma.Context, _ string, v any) (any, error) {
	if p, ok := v.(*Problem); ok {
		p.RequestID = requestID(ctx.Context())
	}
	return v, nil
}

// failed is the answer to an error of the database. The text goes to the log,
// the client gets what it can act on.
func (s *Server) failed(ctx context.Context, what string, err error) error {
	var p *Problem
	if errors.As(err, &p) {
		return err
	}
	s.cfg.Log.ErrorContext(ctx, what, slog.String("request_id", requestID(ctx)), slog.Any("error", err))
	switch {
	case isTimeout(err):
		return problem(http.StatusGatewayTimeout, "The database took too long. Ask for less, or retry.")
	case errors.Is(err, context.Canceled):
		return unavailable("The server is stopping.")
	case isUnavailable(err):
		return unavailable("The database cannot be reached at the moment.")
	}
	return problem(http.StatusInternalServerError, "Something went wrong here; the log has the details.")
}

func unavailable(detail string) error {
	return huma.ErrorWithHeaders(problem(http.StatusServiceUnavailable, detail), http.Header{"Retry-After": {retryAfter}})
}

func isTimeout(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "57014" // query_canceled: statement_timeout
	}
	return errors.Is(err, context.DeadlineExceeded)
}

func isUnavailable(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		// Connection exceptions, shutdowns and starts, out of connections or
		// memory, not migrated yet.
		return strings.HasPrefix(pg.Code, "08") || strings.HasPrefix(pg.Code, "57P") || strings.HasPrefix(pg.Code, "53") ||
			pg.Code == "42P01" || pg.Code == "42883"
	}
	var connect *pgconn.ConnectError
	var network net.Error
	// What remains without a code of the server's is a broken connection.
	return errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err) ||
		strings.Contains(err.Error(), "unexpected EOF") || strings.Contains(err.Error(), "conn closed") || strings.Contains(err.Error(), "closed pool")
}
