package api

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// maxBuckets bounds the memory of the limits, to some megabytes. Beyond, those who
// asked longest ago are forgotten, which for most means that they are back at
// a full quota, as they are anyway after a pause.
const maxBuckets = 1 << 15

// limiter has a token bucket for each key or address.
type limiter struct {
	rate    rate.Limit
	burst   int
	now     func() time.Time
	buckets *lru.Cache[string, *rate.Limiter]
	policy  string
}

// newLimiter allows burst requests at once and perSecond in the long run; nil
// when there is no limit.
func newLimiter(perSecond float64, burst, size int, now func() time.Time) (*limiter, error) {
	switch {
	case math.IsNaN(perSecond), math.IsInf(perSecond, 0), perSecond < 0:
		return nil, fmt.Errorf("rate limit: want requests per second, or 0 for none, got %v", perSecond)
	case burst < 0:
		return nil, fmt.Errorf("rate burst: want requests, or 0 for twice the rate limit, got %d", burst)
	case perSecond == 0:
		return nil, nil
	case burst == 0:
		burst = int(math.Ceil(2 * perSecond))
	}
	buckets, err := lru.New[string, *rate.Limiter](size)
	if err != nil {
		return nil, fmt.Errorf("make rate limit: %w", err)
	}
	l := &limiter{rate: rate.Limit(perSecond), burst: burst, now: now, buckets: buckets}
	l.policy = fmt.Sprintf(`"default";q=%d;w=%d`, burst, l.seconds(float64(burst)))
	return l, nil
}

// spend takes one request off the quota of who, or refuses. The header fields
// are those of draft-ietf-httpapi-ratelimit-headers (since its tenth version): q requests
// in w seconds; r of them are left, and in t seconds all will be back.
func (l *limiter) spend(c *fiber.Ctx, who string) error {
	allowed, left := l.take(who)
	c.Set("RateLimit-Policy", l.policy)
	c.Set("RateLimit", fmt.Sprintf(`"default";r=%d;t=%d`, int(left), l.seconds(float64(l.burst)-left)))
	if allowed {
		return nil
	}
	wait := max(1, l.seconds(1-left))
	c.Set(fiber.HeaderRetryAfter, strconv.Itoa(wait))
	return problem(http.StatusTooManyRequests, fmt.Sprintf("Too many requests: %d at once and %v a second are allowed. Retry in %d s.", l.burst, float64(l.rate), wait))
}

// take counts a request of who; it reports whether it is allowed and how many
// more are left.
func (l *limiter) take(who string) (allowed bool, left float64) {
	now := l.now()
	bucket, ok := l.buckets.Get(who)
	if !ok {
		bucket = rate.NewLimiter(l.rate, l.burst)
		if was, had, _ := l.buckets.PeekOrAdd(who, bucket); had {
			bucket = was
		}
	}
	allowed = bucket.AllowN(now, 1)
	return allowed, max(0, bucket.TokensAt(now))
}

// seconds is how long it takes for n requests to come back to a quota.
func (l *limiter) seconds(n float64) int { return int(math.Ceil(n / float64(l.rate))) }
