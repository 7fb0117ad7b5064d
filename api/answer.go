package api

import (
	"context"
	"encoding/base64"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/zeebo/xxh3"
)

// The formats a table is given in.
const (
	typeJSON  = "application/json"
	typeCSV   = "text/csv"
	typeArrow = "application/vnd.apache.arrow.stream"
)

// Conditions are the headers a read looks at. Exported because huma finds
// parameters of embedded structs only then.
type Conditions struct {
	Accept      string `header:"Accept" doc:"application/json (the default), text/csv or application/vnd.apache.arrow.stream." example:"text/csv"`
	IfNoneMatch string `header:"If-None-Match" doc:"ETags of copies the client has; 304 when one of them is still right." example:"\"q3Zl2nXk0Ww7yQbJ1uVb8A\""`

	format string
}

// reply is the response of a read.
type reply struct {
	Status       int
	ContentType  string `header:"Content-Type"`
	ETag         string `header:"ETag" doc:"Changes whenever the content does." example:"\"q3Zl2nXk0Ww7yQbJ1uVb8A\""`
	CacheControl string `header:"Cache-Control" doc:"no-cache as long as the answer holds what is still forming; else max-age, by how long ago the range closed. A late tick may still revise it: then the ETag is another." example:"max-age=86400"`
	Vary         string `header:"Vary"`
	Link         string `header:"Link" doc:"The next page, rel=next, for formats that have no room for it. Absent on the last page." example:"</v1/symbols/AAPL/candles?cursor=AYx0...>; rel=\"next\""`
	Body         []byte
}

// choose finds the format the client accepts.
func (c *Conditions) choose() error {
	quality := 0.0
	for _, offer := range []string{typeJSON, typeCSV, typeArrow} {
		if q := accepts(c.Accept, offer); q > quality {
			c.format, quality = offer, q
		}
	}
	if c.format == "" {
		return problem(http.StatusNotAcceptable, "This is given as "+typeJSON+", "+typeCSV+" and "+typeArrow+".",
			&huma.ErrorDetail{Location: "header.Accept", Message: "want one of those", Value: c.Accept})
	}
	return nil
}

// accepts is the quality an Accept header gives a type: that of its most
// specific entry for it (RFC 9110, 12.5.1). No header accepts anything.
func accepts(header, offer string) float64 {
	if strings.TrimSpace(header) == "" {
		return 1
	}
	major, _, _ := strings.Cut(offer, "/")
	quality, specific := 0.0, 0
	for entry := range strings.SplitSeq(header, ",") {
		parts := strings.Split(entry, ";")
		rank := 0
		switch name := strings.ToLower(strings.TrimSpace(parts[0])); name {
		case offer:
			rank = 3
		case major + "/*":
			rank = 2
		case "*/*", "*":
			rank = 1
		}
		if rank <= specific {
			continue
		}
		q := 1.0
		for _, p := range parts[1:] {
			if k, v, _ := strings.Cut(strings.TrimSpace(p), "="); strings.EqualFold(strings.TrimSpace(k), "q") {
				var err error
				if q, err = strconv.ParseFloat(strings.TrimSpace(v), 64); err != nil || q < 0 || q > 1 {
					q = 0
				}
			}
		}
		quality, specific = q, rank
	}
	return quality
}

// reply gives the table in the chosen format. link is the address of the next
// page but for the cursor; closed is when the last of the content was over.
func (s *Server) reply(ctx context.Context, c *Conditions, t *table, link, next string, closed time.Time) (*reply, error) {
	out := &reply{ContentType: c.format, Vary: "Accept"}
	switch c.format {
	case typeCSV:
		out.ContentType += "; charset=utf-8; header=present"
		out.Body = t.appendCSV(nil)
	case typeArrow:
		var err error
		if out.Body, err = t.arrowStream(); err != nil {
			return nil, s.failed(ctx, "write arrow", err)
		}
	default:
		out.Body = t.appendPage(make([]byte, 0, 64+len(t.cells)*28), next)
	}
	if next != "" {
		out.Link = "<" + link + "cursor=" + next + `>; rel="next"`
	}
	out.validate(c.IfNoneMatch, closed)
	return out, nil
}

// validate adds what caches need, and leaves the body out when the client has it.
func (a *reply) validate(ifNoneMatch string, closed time.Time) {
	a.Status = http.StatusOK
	a.ETag = etag(a.Body, a.Link)
	a.CacheControl = cacheControl(closed, time.Now())
	if matches(ifNoneMatch, a.ETag) {
		a.Status, a.Body = http.StatusNotModified, nil
	}
}

func etag(body []byte, link string) string {
	h := xxh3.New()
	_, _ = h.Write(body)
	_, _ = h.WriteString(link)
	sum := h.Sum128().Bytes()
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:]) + `"`
}

// matches is the weak comparison of If-None-Match.
func matches(header, etag string) bool {
	for tag := range strings.SplitSeq(header, ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			return true
		}
	}
	return false
}

// How long a copy of what has closed may be used without asking: a tenth of
// its age, within these. The younger a bar, the likelier a late tick.
const (
	freshLeast = time.Minute
	freshMost  = 24 * time.Hour
)

// cacheControl is for content that ended at closed; a zero time or one to come
// means that it has not.
func cacheControl(closed, now time.Time) string {
	if closed.IsZero() || closed.After(now) {
		return "no-cache"
	}
	age := min(max(now.Sub(closed)/10, freshLeast), freshMost)
	return "max-age=" + strconv.Itoa(int(age/time.Second))
}

// tableResponses describes an answer whose JSON is body.
func tableResponses(body *huma.Schema) map[string]*huma.Response {
	return map[string]*huma.Response{
		"200": {Description: "The rows, in the format the client accepts.", Content: map[string]*huma.MediaType{
			typeJSON:  {Schema: body},
			typeCSV:   {Schema: &huma.Schema{Type: huma.TypeString, Description: "RFC 4180 with a header; a null is an empty field. The next page is in the header Link."}},
			typeArrow: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary", Description: "Arrow IPC stream: times are timestamp[us, UTC], numbers float64 or int64, text utf8. The next page is in the header Link."}},
		}},
		"304": {Description: "The copy the client has is still right."},
	}
}

// pageSchema is the schema of a page of T, under a name of its own.
func pageSchema[T any](api huma.API, name string) *huma.Schema { return schemaOf[page[T]](api, name) }

func schemaOf[T any](api huma.API, name string) *huma.Schema {
	return api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, name)
}
