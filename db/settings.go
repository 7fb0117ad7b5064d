package db

import (
	"context"
	"fmt"
	"strings"
	"sync"
)

// FeedSettings are the rows of feed_venues, instruments and trade_conditions. The
// zero value has the defaults.
type FeedSettings struct {
	venues     map[string]FeedVenue
	prices     map[string]bool // instruments.non_positive_prices
	conditions map[string]int32
	sets       sync.Map // flags of conditions that are joined
}

// ReadFeedSettings reads the settings of feeds.
func ReadFeedSettings(ctx context.Context, q *Queries) (*FeedSettings, error) {
	venues, err := q.FeedVenues(ctx)
	if err != nil {
		return nil, fmt.Errorf("read feed_venues: %w", err)
	}
	priced, err := q.PricedInstruments(ctx)
	if err != nil {
		return nil, fmt.Errorf("read instruments: %w", err)
	}
	conditions, err := q.TradeConditions(ctx)
	if err != nil {
		return nil, fmt.Errorf("read trade_conditions: %w", err)
	}
	s := &FeedSettings{venues: make(map[string]FeedVenue), prices: make(map[string]bool), conditions: make(map[string]int32)}
	for _, v := range venues {
		s.venues[v.Venue] = v
	}
	for _, i := range priced {
		s.prices[i.Symbol] = i.NonPositivePrices
	}
	for _, c := range conditions {
		s.conditions[c.Code] = c.Flags
	}
	return s, nil
}

// Contiguous reports whether a jump of seq is a gap at the venue.
func (s *FeedSettings) Contiguous(venue string) bool {
	v, ok := s.venues[venue]
	return !ok || v.Contiguous
}

// NonPositive reports whether a symbol may have prices at or below 0.
func (s *FeedSettings) NonPositive(symbol, venue string) bool {
	if allowed, ok := s.prices[symbol]; ok {
		return allowed
	}
	return s.venues[venue].NonPositivePrices
}

// What becomes of a conflict, as in feed_conflicts.outcome.
const (
	ConflictKept      = "kept"
	ConflictCorrected = "corrected"
	ConflictRefused   = "refused"
)

// Outcome returns what becomes of conflicts at the venue.
func (s *FeedSettings) Outcome(venue string) string {
	switch s.venues[venue].Conflicts {
	case "correct":
		return ConflictCorrected
	case "refuse":
		return ConflictRefused
	}
	return ConflictKept
}

// unknownCondition is the flag of a condition that trade_conditions does not list.
const unknownCondition = 512

// Flags returns ticks.flags of conditions, which are joined by commas.
func (s *FeedSettings) Flags(conditions string) int32 {
	if conditions == "" {
		return 0
	}
	if flags, ok := s.sets.Load(conditions); ok {
		return flags.(int32)
	}
	var flags int32
	for code := range strings.SplitSeq(conditions, ",") {
		f, ok := s.conditions[code]
		if !ok {
			f = unknownCondition
		}
		flags |= f
	}
	s.sets.Store(conditions, flags)
	return flags
}
