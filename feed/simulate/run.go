package simulate

import (
	"context"
	"log/slog"
	"math"
	"time"

	"github.com/hypertick/hypertick/feed"
)

func (s *Simulator) newSymbol(c Company, total float64) symbol {
	name := uint64(14695981039346656037) // FNV-1a
	for i := range len(c.Symbol) {
		name = (name ^ uint64(c.Symbol[i])) * 1099511628211
	}
	key := mix(mix(s.cfg.Seed) + name)
	sym := symbol{
		Company: c, key: key, weight: c.Activity / total, logP: math.Log(c.Price),
		own: newPath(mix(key)), from: s.cfg.Start.UnixMicro(), bucket: -1, spell: -1,
	}
	for i, name := range sectors {
		if name == c.Sector {
			sym.sector = &s.sectors[i]
		}
	}
	sym.left = sym.wait(sym.dice(1))
	return sym
}

// resume sets sym to the state after its last tick.
func (s *Simulator) resume(sym *symbol, last feed.Tick) {
	d := sym.dice(last.Seq)
	sym.seq = last.Seq
	sym.from = last.TS
	if sym.price(d, &s.market, last.TS) == last.Price {
		// A tick of this simulation: if it was late, it was sent after its ts.
		sym.from = min(last.TS+d.late(s.cfg.Late), max(last.TS, s.cfg.Clock().UnixMicro()))
	} else {
		sym.offset = math.Log(last.Price) - sym.logPrice(&s.market, last.TS)
	}
	sym.previous, sym.mayRepeat = last, d.repeated(s.cfg.Duplicates)
	sym.left = sym.wait(sym.dice(last.Seq + 1))
}

// setRate begins a phase, live or history, and reschedules every symbol.
func (s *Simulator) setRate(live bool) {
	s.live, s.rate = live, s.cfg.HistoryRate/1e6
	if live {
		s.rate = s.cfg.Rate / 1e6
	}
	s.worth = dayTurn / (float64(day) * s.rate)
	for i := range s.symbols {
		sym := &s.symbols[i]
		s.queue[i] = event{at: sym.next(s.rate, live, sym.dice(sym.seq+1).price), sym: int32(i)}
	}
	s.queue.init()
}

// change switches the phase at the current simulated time.
func (s *Simulator) change(live bool) {
	for i := range s.symbols {
		s.symbols[i].spend(s.now, s.rate, s.live)
	}
	s.setRate(live)
}

// Run produces the history up to now as fast as emit accepts it, then continues
// live at cfg.Rate until ctx ends or emit fails, and returns that error. It calls
// emit in the order of sending; emit must not keep its argument. During the
// history it calls progress, which may be nil, with the number of ticks done and
// an estimate of the total; at the end the two are equal.
//
// After Run has returned, create a new Simulator from the positions then reached.
func (s *Simulator) Run(ctx context.Context, emit func(*feed.Tick) error, progress func(done, total int64)) error {
	if err := s.history(ctx, emit, progress); err != nil {
		return err
	}
	for {
		now := s.cfg.Clock().UnixMicro()
		if behind := now - s.now; behind > catchUp {
			s.cfg.Log.Warn("simulation is behind the clock, catching up at the rate of history",
				slog.Duration("behind", time.Duration(behind)*time.Microsecond))
			s.change(false)
			if err := s.history(ctx, emit, nil); err != nil {
				return err
			}
			continue
		}
		if _, err := s.produce(ctx, now, emit, nil); err != nil {
			return err
		}
		next := time.Duration(s.queue[0].at-now) * time.Microsecond
		if err := s.cfg.Sleep(ctx, max(pause, next)); err != nil {
			return err
		}
	}
}

// history produces ticks up to now, and then switches to live.
func (s *Simulator) history(ctx context.Context, emit func(*feed.Tick) error, progress func(done, total int64)) error {
	const near = int64(100e3) // the rest is for the live phase
	done := int64(0)
	for until := s.cfg.Clock().UnixMicro(); until-s.now > near; until = s.cfg.Clock().UnixMicro() {
		var report func(int64)
		if progress != nil {
			report = func(n int64) {
				progress(done+n, done+n+int64(s.rate*float64(until-s.now)))
			}
		}
		n, err := s.produce(ctx, until, emit, report)
		done += n
		if err != nil {
			return err
		}
	}
	if progress != nil {
		progress(done, done)
	}
	s.change(true)
	return nil
}

// produce emits the ticks that are due by until, and returns their number.
func (s *Simulator) produce(ctx context.Context, until int64, emit func(*feed.Tick) error, report func(int64)) (int64, error) {
	n := int64(0)
	for s.queue[0].at <= until {
		if n%checkEvery == 0 {
			if err := ctx.Err(); err != nil {
				return n, err
			}
			if report != nil {
				report(n)
			}
		}
		n++
		if err := s.step(emit); err != nil {
			return n, err
		}
	}
	s.now = max(s.now, until)
	return n, ctx.Err()
}

// step emits the next tick of all symbols.
func (s *Simulator) step(emit func(*feed.Tick) error) error {
	at := s.queue[0].at
	s.now = at
	sym := &s.symbols[s.queue[0].sym]
	sym.seq++
	d := sym.dice(sym.seq)
	worth := s.worth
	if s.live { // ticks are evenly paced there: their sizes show the activity
		active, _ := sym.active(at)
		worth *= active
	}
	tick := &s.tick // the argument of emit escapes to the heap: reused
	*tick = feed.Tick{Symbol: sym.Symbol, Venue: s.cfg.Venue, TS: at - d.late(s.cfg.Late), Seq: sym.seq}
	tick.Price = sym.price(d, &s.market, tick.TS)
	tick.Size = sym.shares(d, tick.Price, worth)

	ahead := sym.dice(sym.seq + 1)
	sym.from, sym.left = at, sym.wait(ahead)
	s.queue[0].at = sym.next(s.rate, s.live, ahead.price)
	s.queue.sink(0)

	repeat := sym.mayRepeat
	if repeat {
		s.again = sym.previous
	}
	sym.mayRepeat = d.repeated(s.cfg.Duplicates)
	if sym.mayRepeat {
		sym.previous = *tick
	}
	if err := emit(tick); err != nil {
		return err
	}
	if repeat {
		return emit(&s.again)
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
