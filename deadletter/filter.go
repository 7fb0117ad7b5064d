package deadletter

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Position is a position in the dead-letter topic.
type Position struct {
	Partition int32
	Offset    int64
}

func (p Position) String() string { return fmt.Sprintf("%d/%d", p.Partition, p.Offset) }

// ParsePosition reads a partition and an offset, such as 0/17, or an offset of
// partition 0, such as 17.
func ParsePosition(s string) (Position, error) {
	p, o, both := strings.Cut(s, "/")
	if !both {
		p, o = "0", s
	}
	partition, err := strconv.ParseInt(p, 10, 32)
	offset, err2 := strconv.ParseInt(o, 10, 64)
	if err != nil || err2 != nil || partition < 0 || offset < 0 {
		return Position{}, fmt.Errorf("want an offset such as 17, or partition and offset such as 0/17, got %q", s)
	}
	return Position{int32(partition), offset}, nil
}

// Filter selects dead letters. The zero Filter selects all that are not handled.
type Filter struct {
	// Positions of the dead letters; nil for any.
	Positions []Position
	// Reason is text that the reason contains.
	Reason string
	// Handled also selects dead letters that were stored or discarded.
	Handled bool
}

// Matches reports whether the filter selects d.
func (f *Filter) Matches(d *DeadLetter) bool {
	return (f.Positions == nil || slices.Contains(f.Positions, d.Position)) &&
		strings.Contains(d.Reason, f.Reason) && (f.Handled || d.Handled == "")
}

// bounds narrows a range of offsets of a partition to those that the filter can
// select.
func (f *Filter) bounds(partition int32, from, to int64) (int64, int64) {
	if f.Positions == nil {
		return from, to
	}
	least, most := to, from
	for _, p := range f.Positions {
		if p.Partition == partition {
			least, most = min(least, p.Offset), max(most, p.Offset+1)
		}
	}
	return max(from, least), min(to, most)
}
