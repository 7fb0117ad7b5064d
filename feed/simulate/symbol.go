package simulate

import (
	"math"

	"github.com/hypertick/hypertick/feed"
)

const (
	second       = int64(1e6)
	day          = 86400 * second
	bucketLength = 300 * second // activity is constant within
	bucketsADay  = int(day / bucketLength)

	// Shares of a company's variance.
	marketShare, sectorShare, jumpShare = 0.35, 0.15, 0.10
	ownShare                            = 1 - marketShare - sectorShare - jumpShare

	jumpBits   = 35               // once in 2^35 µs, 9.5 hours, there may be a jump,
	jumpChance = 1.0 / 80         // which makes about one a month,
	jumpFade   = 8                // and it has faded after so many of these spells
	tieChance  = 0.08             // of a tick at the very time of the one before
	dayTurn    = 20e9             // traded a day, all companies, in dollars
	logSize    = 1.1              // standard deviation of the logarithm of sizes
	burstOdds  = 1.0 / 400        // of a bucket with unusual activity,
	burstLeast = 3.0              // so many times the usual
	burstMost  = 9.0              //
	lateLeast  = float64(2 * 1e6) // delays of late ticks, in µs: most are short,
	lateMost   = 6 * 3600e6       // a few are hours
)

// burstMean keeps the mean of activity at 1.
const burstMean = 1 + burstOdds*((burstLeast+burstMost)/2-1)

// daily is the U of a day's activity, mean 1, in UTC.
var daily = func() (u [bucketsADay]float64) {
	sum := 0.0
	for i := range u {
		x := 2*(float64(i)+0.5)/float64(bucketsADay) - 1
		u[i] = 0.5 + 1.6*x*x
		sum += u[i]
	}
	for i := range u {
		u[i] *= float64(bucketsADay) / sum
	}
	return u
}()

// symbol is the state of one company. It resumes from its last tick alone; the
// rest is a function of the seed, seq and time.
type symbol struct {
	Company
	key    uint64
	weight float64 // its share of all ticks
	logP   float64 // logarithm of Price
	own    path
	sector *path
	offset float64 // continues the price of a topic of another seed

	seq int64 // of the last tick
	// The next tick comes when, counted from the time from, the intensity has
	// added up to left. Both rate and phase may change on the way.
	from int64
	left float64

	bucket    int64   // the bucket activity is of
	activity  float64 // relative to the company's mean
	spell     int64   // the spell jumps is of
	jumps     []jump
	previous  feed.Tick
	mayRepeat bool // previous is a tick to be sent twice
}

// jump moves the logarithm of the price by size at a time, and fades.
type jump struct {
	at   int64
	size float64
}

// dice are the random values of one tick.
type dice struct{ gap, size, price, kind uint64 }

func (s *symbol) dice(seq int64) dice {
	h := mix(s.key ^ uint64(seq))
	return dice{gap: h, size: mix(h + 1), price: mix(h + 2), kind: mix(h + 3)}
}

// wait returns how much intensity has to add up before tick seq comes.
func (s *symbol) wait(d dice) float64 {
	if float64(d.kind>>48)*0x1p-16 < tieChance {
		return 0
	}
	return -math.Log(unit(d.gap)) / (1 - tieChance)
}

// late returns how late a tick is, usually 0.
func (d dice) late(share float64) int64 {
	u := float64(d.kind&0xffffffff) * 0x1p-32
	if u >= share {
		return 0
	}
	// Log-uniform, bent to the short end: u/share is uniform again.
	x := u / share
	return int64(lateLeast * math.Pow(lateMost/lateLeast, x*x))
}

func (d dice) repeated(share float64) bool {
	return float64(d.kind>>32&0xffff)*0x1p-16 < share
}

// active returns how active the company is at time t and until when.
func (s *symbol) active(t int64) (float64, int64) {
	if t < s.bucket*bucketLength || t >= (s.bucket+1)*bucketLength {
		s.bucket = t / bucketLength
		s.activity = daily[s.bucket%int64(bucketsADay)] / burstMean
		if h := mix(s.key + 0xb0057 ^ uint64(s.bucket)); unit(h) < burstOdds {
			s.activity *= burstLeast + (burstMost-burstLeast)*unit(mix(h))
		}
	}
	return s.activity, (s.bucket + 1) * bucketLength
}

// next returns when the next tick comes at a total of rate ticks a µs.
func (s *symbol) next(rate float64, live bool, rounding uint64) int64 {
	t, left, rate := s.from, s.left, rate*s.weight
	for !live {
		a, end := s.active(t)
		if left < a*rate*float64(end-t) {
			rate *= a
			break
		}
		left -= a * rate * float64(end-t)
		t = end
	}
	// Up or down by chance, or many short gaps would add up to a drift.
	gap := left/rate + unit(rounding) - 0x1p-53
	return t + int64(min(gap, 1e17))
}

// spend takes the time until t off the wait, before the rate changes.
func (s *symbol) spend(until int64, rate float64, live bool) {
	rate *= s.weight
	for s.from < until {
		a, end := 1.0, until
		if !live {
			a, end = s.active(s.from)
			end = min(end, until)
		}
		s.left = max(0, s.left-a*rate*float64(end-s.from))
		s.from = end
	}
}

// logPrice returns the logarithm of the price at time t.
func (s *symbol) logPrice(market *path, t int64) float64 {
	walk := math.Sqrt(marketShare)*market.at(t) + math.Sqrt(sectorShare)*s.sector.at(t) + math.Sqrt(ownShare)*s.own.at(t)
	return s.logP + s.offset + s.Volatility*(walk+s.jumped(t))
}

// jumped returns what jumps before t still add.
func (s *symbol) jumped(t int64) float64 {
	if spell := t >> jumpBits; spell != s.spell {
		s.spell = spell
		s.jumps = s.jumps[:0]
		for k := spell - jumpFade; k <= spell; k++ {
			h := mix(s.key + 0x1e49 ^ uint64(k))
			if unit(h) >= jumpChance {
				continue
			}
			const perYear = 365.25 * 86400e6 / (1 << jumpBits) * jumpChance
			h = mix(h)
			s.jumps = append(s.jumps, jump{
				at:   k<<jumpBits + int64(h>>(64-jumpBits)),
				size: normal(mix(h)) * math.Sqrt(jumpShare/perYear),
			})
		}
	}
	sum := 0.0
	for _, j := range s.jumps {
		if since := t - j.at; since >= 0 && since < jumpFade<<jumpBits {
			sum += j.size * (1 - float64(since)/(jumpFade<<jumpBits))
		}
	}
	return sum
}

// price rounds to a cent, up or down by chance: between two ticks of the grid
// trades bounce from one to the other, and their mean is right.
func (s *symbol) price(d dice, market *path, t int64) float64 {
	cents := math.Exp(s.logPrice(market, t))*100 + unit(d.price)
	return math.Max(1, math.Floor(cents)) / 100
}

// shares draws whole shares of the given mean worth in dollars.
func (s *symbol) shares(d dice, price, worth float64) float64 {
	const median = 0.546 // of a log-normal of mean 1 and deviation logSize
	n := worth / price * median * math.Exp(logSize*normal(d.size))
	if n >= 50 && d.price&3 == 0 { // a quarter in round lots
		return math.Round(n/100+0.5) * 100
	}
	return math.Max(1, math.Round(n))
}
