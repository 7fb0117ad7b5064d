package cli

import (
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/hypertick/hypertick/api"
	"github.com/hypertick/hypertick/backfill"
	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/ingest"
	"github.com/hypertick/hypertick/notify"
)

// defaults returns the defaults that packages declare; the tag of a flag refers to
// them as ${name}.
func defaults() kong.Vars {
	return kong.Vars{
		"listen":           api.DefaultListen,
		"request_timeout":  duration(api.DefaultRequestTimeout),
		"read_timeout":     duration(api.DefaultReadTimeout),
		"write_timeout":    duration(api.DefaultWriteTimeout),
		"idle_timeout":     duration(api.DefaultIdleTimeout),
		"topic":            feed.Topic,
		"partitions":       strconv.Itoa(feed.DefaultPartitions),
		"delivery_timeout": duration(feed.DefaultDeliveryTimeout),
		"group":            ingest.DefaultGroup,
		"max_batch":        strconv.Itoa(ingest.DefaultMaxBatch),
		"new_feeds":        strconv.Itoa(ingest.DefaultNewFeeds),
		"max_feeds":        strconv.Itoa(ingest.DefaultMaxFeeds),
		"late_after":       duration(ingest.DefaultLateAfter),
		"backfill_batch":   strconv.Itoa(backfill.DefaultBatch),
		"send_timeout":     duration(notify.MaxTimeout),
		"send_tries":       strconv.Itoa(notify.DefaultTries),
	}
}

// duration formats d as people write it: 5m, not 5m0s.
func duration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
