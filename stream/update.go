package stream

// update is the result of one pass.
type update struct {
	read    bool // false: the database did not answer, only status is set
	start   position
	at      position
	id      []byte
	durable []*event // alerts, resets, closed and revised candles; in order
	ticks   []*event
	forming []*event
	status  *event

	symbols map[string]*symbolUpdate
	list    []*symbolUpdate
}

// symbolUpdate is the part of an update about one symbol.
type symbolUpdate struct {
	ticks   []*event
	forming []*event
}

// index sorts ticks and forming candles by symbol, once for all clients.
func (u *update) index() {
	u.id = idLine(u.at)
	u.symbols = map[string]*symbolUpdate{}
	of := func(symbol string) *symbolUpdate {
		s := u.symbols[symbol]
		if s == nil {
			s = &symbolUpdate{}
			u.symbols[symbol] = s
			u.list = append(u.list, s)
		}
		return s
	}
	for _, e := range u.ticks {
		s := of(e.symbol)
		s.ticks = append(s.ticks, e)
	}
	for _, e := range u.forming {
		s := of(e.symbol)
		s.forming = append(s.forming, e)
	}
}
