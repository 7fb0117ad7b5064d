package simulate

import (
	"math"
	"math/bits"
)

// Randomness here is a hash of a counter: any value can be computed again at any
// time, in any order, from the seed alone.

// mix is a bijective hash of 64 bits (the finalizer of splitmix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// unit maps a hash to (0, 1].
func unit(h uint64) float64 { return float64(h>>11+1) * 0x1p-53 }

// normal maps a hash to a number of mean 0 and variance 1, the sum of four
// uniform ones: close enough to Gaussian, and its tails end at 3.46.
func normal(h uint64) float64 {
	sum := h&0xffff + h>>16&0xffff + h>>32&0xffff + h>>48
	return (float64(sum) - 2*0xffff) * (math.Sqrt(3) / 0x10000)
}

const (
	blockBits = 40 // a block is 2^40 µs, 12.7 days
	leafBits  = 16 // a leaf is 2^16 µs, 66 ms: finer moves are below a cent
	levels    = blockBits - leafBits
	// memory is how many blocks a shock takes to fade, 204 days.
	memory = 16
	// blocksPerYear scales a variance of 1 a block to 1 a year.
	blocksPerYear = 365.25 * 86400e6 / (1 << blockBits)
)

// uneven is, level by level, how unevenly the variance of a range of time is
// divided between its halves: strongly over days and hours, which makes calm and
// volatile periods, weakly below.
var uneven = func() (u [levels]float64) {
	for l := range u {
		switch {
		case l < 7: // down to 4.8 hours
			u[l] = 0.50
		case l < 13: // down to 4.5 minutes
			u[l] = 0.35
		default:
			u[l] = 0.20
		}
	}
	return u
}()

// path is a random walk as a function of time: at(t) always returns the same. Over a year it has variance 1; in the long run it stays near 0,
// because each shock fades within memory blocks.
//
// Values at the ends of blocks are weighted sums of hashed shocks. Inside a
// block the walk is a Brownian bridge, halved level by level down to a leaf,
// then a straight line. Each halving divides the variance unevenly, so volatility
// clusters on every scale. The nodes above the last t are cached: the next t
// usually needs only the lowest few.
type path struct {
	key   uint64
	last  int64 // the time of the nodes
	block uint64
	nodes [levels + 1]node
}

// node is a range of time: the walk at both ends, its variance, and the walk
// at the middle with the share of the variance before it.
type node struct {
	left, right, variance, middle, share float64
}

func newPath(key uint64) path { return path{key: key, last: math.MinInt64} }

// at returns the walk at time t, microseconds since 1970.
func (p *path) at(t int64) float64 {
	if diff := uint64(t^p.last) >> leafBits; diff != 0 {
		level := levels - bits.Len64(diff) // of the lowest node that holds both times
		if level < 0 {
			p.enter(t)
			level = 0
		}
		p.descend(t, level)
	}
	p.last = t
	leaf := &p.nodes[levels]
	return leaf.left + (leaf.right-leaf.left)*(float64(t&(1<<leafBits-1))*(1.0/(1<<leafBits)))
}

func (p *path) enter(t int64) {
	b := t >> blockBits
	p.block = mix(p.key ^ uint64(b))
	p.nodes[0] = node{left: p.end(b - 1), right: p.end(b), variance: p.variance(b)}
	p.split(0, 1)
}

// end returns the walk at the end of block b.
func (p *path) end(b int64) float64 {
	sum := 0.0
	for j := range int64(memory) {
		shock := normal(mix(p.key+0xb10c^uint64(b-j))) * math.Sqrt(p.variance(b-j))
		sum += shock * float64(memory-j) / memory
	}
	return sum
}

func (p *path) variance(b int64) float64 {
	return (0.6 + 0.8*unit(mix(p.key+0x7a6^uint64(b)))) / blocksPerYear
}

// descend renews the nodes below the given level, which holds t.
func (p *path) descend(t int64, level int) {
	for ; level < levels; level++ {
		n, child := &p.nodes[level], &p.nodes[level+1]
		if t>>(blockBits-1-level)&1 == 0 {
			child.left, child.right, child.variance = n.left, n.middle, n.variance*n.share
		} else {
			child.left, child.right, child.variance = n.middle, n.right, n.variance*(1-n.share)
		}
		if level+1 < levels {
			// The number of a node in its block, counted as in a binary heap.
			within := uint64(t) & (1<<blockBits - 1) >> (blockBits - 1 - level)
			p.split(level+1, 1<<(level+1)|within)
		}
	}
}

// split draws the middle of a node.
func (p *path) split(level int, id uint64) {
	n := &p.nodes[level]
	h := mix(p.block + id)
	lean := float64(int64(h*0xd1342543de82ef95)) * 0x1p-63 // -1 to 1
	n.share = 0.5 + 0.5*uneven[level]*lean
	n.middle = n.left + (n.right-n.left)*n.share + normal(h)*math.Sqrt(n.variance*n.share*(1-n.share))
}
