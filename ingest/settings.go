package ingest

import (
	"context"

	"github.com/hypertick/hypertick/db"
)

// prepare reads the settings that the first batch needs. It retries until the
// database is up.
func (in *Ingester) prepare(ctx context.Context) error {
	return in.retry(ctx, "read settings", func(ctx context.Context) error {
		head, err := in.queries.NewestTradeTime(ctx)
		if err != nil {
			return err
		}
		if us := head.UnixMicro(); us > 0 {
			in.raiseNewest(us)
		}
		if err := in.readFeeds(ctx); err != nil {
			return err
		}
		if err := in.readHorizon(ctx); err != nil {
			return err
		}
		if err := in.readCompressAge(ctx); err != nil {
			return err
		}
		return in.readSettings(ctx)
	})
}

func (in *Ingester) readHorizon(ctx context.Context) error {
	h, err := in.queries.TickHorizon(ctx)
	if err == nil {
		in.horizon.Store(h.UnixMicro())
	}
	return err
}

func (in *Ingester) readCompressAge(ctx context.Context) error {
	seconds, err := in.queries.DirectCompress(ctx)
	if err == nil {
		in.compressAge.Store(int64(seconds * 1e6))
	}
	return err
}

func (in *Ingester) readSettings(ctx context.Context) error {
	s, err := db.ReadFeedSettings(ctx, in.queries)
	if err == nil {
		in.settings.Store(s)
	}
	return err
}

// raiseNewest raises the newest trade time known to ts, if ts is newer.
func (in *Ingester) raiseNewest(ts int64) {
	for {
		h := in.newest.Load()
		if ts <= h || in.newest.CompareAndSwap(h, ts) {
			return
		}
	}
}
