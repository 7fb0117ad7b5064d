package feed

import "context"

// Interned returns the number of strings that d caches.
func (d *Decoder) Interned() int { return len(d.strings) }

// ScanPositions is Positions that also returns the number of records it read.
func ScanPositions(ctx context.Context, brokers []string, topic, venue string, symbols ...string) (map[string]Tick, int, error) {
	s := newScan(Security{}, topic, venue, symbols)
	err := s.run(ctx, brokers)
	return s.last, s.taken, err
}
