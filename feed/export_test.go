package feed

import "context"

// Interned is how many strings d holds.
func (d *Decoder) Interned() int { return len(d.strings) }

// ScanPositions is Positions that also tells how many records it took in.
func ScanPositions(ctx context.Context, brokers []string, topic, venue string, symbols ...string) (map[string]Tick, int, error) {
	s := newScan(Security{}, topic, venue, symbols)
	err := s.run(ctx, brokers)
	return s.last, s.taken, err
}
