package ingest

import "context"

// prepare reads what must be known before the first batch, for as long as it
// takes the database to come up.
func (in *Ingester) prepare(ctx context.Context) error {
	return in.patiently(ctx, "read settings", func(ctx context.Context) error {
		head, err := in.queries.NewestTradeTime(ctx)
		if err != nil {
			return err
		}
		if us := head.UnixMicro(); us > 0 {
			in.raiseHead(us)
		}
		if err := in.readHorizon(ctx); err != nil {
			return err
		}
		if err := in.readPack(ctx); err != nil {
			return err
		}
		return in.readVenues(ctx)
	})
}

func (in *Ingester) readHorizon(ctx context.Context) error {
	h, err := in.queries.TickHorizon(ctx)
	if err == nil {
		in.horizon.Store(h.UnixMicro())
	}
	return err
}

func (in *Ingester) readPack(ctx context.Context) error {
	seconds, err := in.queries.DirectCompress(ctx)
	if err == nil {
		in.pack.Store(int64(seconds * 1e6))
	}
	return err
}

func (in *Ingester) readVenues(ctx context.Context) error {
	venues, err := in.queries.NonContiguousVenues(ctx)
	if err != nil {
		return err
	}
	loose := make(map[string]bool, len(venues))
	for _, v := range venues {
		loose[v] = true
	}
	in.loose.Store(&loose)
	return nil
}

// raiseHead notes a ts that may be the newest.
func (in *Ingester) raiseHead(ts int64) {
	for {
		h := in.head.Load()
		if ts <= h || in.head.CompareAndSwap(h, ts) {
			return
		}
	}
}
