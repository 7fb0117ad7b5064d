package api

import (
	"fmt"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/hypertick/hypertick/web"
)

// registerPage serves the chart page at / and the API reference at /docs. Each
// file is a route of its own, so that an unknown path stays a problem.
func (s *Server) registerPage() error {
	files, err := web.Files()
	if err != nil {
		return fmt.Errorf("serve page: %w", err)
	}
	for _, f := range files {
		s.app.Get(f.Path, func(c *fiber.Ctx) error {
			// At / a program finds the index of the API, a browser the page.
			if f.Path == "/" {
				c.Vary(fiber.HeaderAccept)
				if !strings.Contains(c.Get(fiber.HeaderAccept), fiber.MIMETextHTML) {
					return c.Next()
				}
			}
			return sendFile(c, f)
		})
	}
	return nil
}

func sendFile(c *fiber.Ctx, f *web.File) error {
	c.Set(fiber.HeaderETag, f.ETag)
	c.Set(fiber.HeaderCacheControl, f.CacheControl)
	c.Vary(fiber.HeaderAcceptEncoding)
	if f.Page() {
		c.Set(fiber.HeaderContentSecurityPolicy, web.Policy)
		c.Set(fiber.HeaderReferrerPolicy, "no-referrer")
	}
	if match := c.Get(fiber.HeaderIfNoneMatch); match == "*" || strings.Contains(match, f.ETag) {
		return c.SendStatus(fiber.StatusNotModified)
	}
	c.Set(fiber.HeaderContentType, f.ContentType)
	body := f.Body
	if f.Gzip != nil && c.AcceptsEncodings("gzip") == "gzip" {
		c.Set(fiber.HeaderContentEncoding, "gzip")
		body = f.Gzip
	}
	return c.Send(body)
}
