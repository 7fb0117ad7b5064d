package stream

// beat is what one pass found.
type beat struct {
	read    bool // false: the database did not answer, only status is set
	start   position
	at      position
	id      []byte
	durable []*event // alerts, resets, closed and revised candles; in order
	ticks   []*event
	forming []*event
	status  *event

	symbols map[string]*symbolBeat
	list    []*symbolBeat
}

// symbolBeat is what a beat has of one symbol.
type symbolBeat struct {
	ticks   []*event
	forming []*event
}

// index sorts ticks and forming candles by symbol, once for all clients.
func (b *beat) index() {
	b.id = idLine(b.at)
	b.symbols = map[string]*symbolBeat{}
	of := func(symbol string) *symbolBeat {
		s := b.symbols[symbol]
		if s == nil {
			s = &symbolBeat{}
			b.symbols[symbol] = s
			b.list = append(b.list, s)
		}
		return s
	}
	for _, e := range b.ticks {
		s := of(e.symbol)
		s.ticks = append(s.ticks, e)
	}
	for _, e := range b.forming {
		s := of(e.symbol)
		s.forming = append(s.forming, e)
	}
}
