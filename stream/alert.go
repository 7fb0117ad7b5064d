package stream

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/hypertick/hypertick/db"
)

// alertsEvery is the time between two queries for changes whose ids are allocated
// but which are not visible: their transaction is open, or was rolled back.
const alertsEvery = time.Second

// Alert is the data of an alert event.
type Alert struct {
	ID        int64      `json:"id"`
	RuleID    int64      `json:"rule_id"`
	Rule      string     `json:"rule"`
	Severity  string     `json:"severity"`
	Symbol    string     `json:"symbol"`
	Interval  *string    `json:"interval"`
	Bar       time.Time  `json:"bar"`
	Opened    time.Time  `json:"opened"`
	Resolved  *time.Time `json:"resolved"`
	Value     *float64   `json:"value"`
	Threshold *float64   `json:"threshold"`
	Message   string     `json:"message"`
	State     string     `json:"state"`
	Late      bool       `json:"late"`
	Revision  int32      `json:"revision"`
	Changed   time.Time  `json:"changed"`
	ChangeID  int64      `json:"change_id"`
}

// alerts reads the events that have changed since the last pass. Change ids become
// visible in their order, so none is skipped; and while no new one is allocated,
// there is nothing to read.
func (p *pass) alerts(ctx context.Context, changes int64) error {
	h := p.h
	if changes <= p.update.start.change || changes == h.changes && time.Since(h.alertsAt) < alertsEvery {
		return nil
	}
	events, tooMany, err := changedAlerts(ctx, p.q, p.update.start, math.MaxInt64, nil)
	if err != nil {
		return err
	}
	if n := len(events); n > 0 {
		p.update.at.change = events[n-1].at.change
	}
	if tooMany {
<<<<<<< HEAD
		if p.b.at.change, err = p.q.LastAlertChange(ctx); err != nil {
			return fmt.Errorf("read head of alerts: %w", err)
=======
		if p.update.at.change, err = p.q.StreamAlertHead(ctx); err != nil {
			return fmt.Errorf("read last change id: %w", err)
>>>>>>> wb
		}
		at := p.update.start
		at.change = p.update.at.change
		reset := resetEvent("", "too many alerts changed at once", at)
		reset.kind = Alerts
		events = []*event{reset}
	}
	h.changes, h.alertsAt = changes, time.Now()
	p.update.durable = append(p.update.durable, events...)
	return nil
}

// changedAlerts reads the events whose last change is after from and not after
// upto; of all symbols if symbols is nil.
func changedAlerts(ctx context.Context, q *db.Queries, from position, upto int64, symbols []string) (events []*event, tooMany bool, err error) {
	if upto <= from.change {
		return nil, false, nil
	}
	rows, err := q.StreamAlerts(ctx, db.StreamAlertsParams{After: from.change, Upto: upto, Symbols: symbols, MaxRows: maxRows + 1})
	if err != nil {
		return nil, false, fmt.Errorf("read alerts: %w", err)
	}
	if len(rows) > maxRows {
		return nil, true, nil
	}
	events = make([]*event, len(rows))
	for i := range rows {
		at := from
		at.change = rows[i].ChangeID
		events[i] = alertEvent(&rows[i], at)
	}
	return events, false, nil
}

func alertEvent(r *db.StreamAlertsRow, at position) *event {
	e := &event{kind: Alerts, at: at, id: idLine(at), body: encode("alert", Alert{
		r.ID, r.RuleID, r.Rule, r.Severity, r.Symbol, r.BarInterval, r.Bar.UTC(), r.Opened.UTC(), inUTC(r.Resolved), r.Value, r.Threshold, r.Message,
		r.State, r.Late, r.Revision, r.Changed.UTC(), r.ChangeID,
	})}
	// Events of the pipeline are for all clients, whatever symbols they follow.
	if r.BarInterval != nil {
		e.symbol = r.Symbol
	}
	return e
}

// alertSymbols returns the symbols whose alerts a subscription wants, or nil for
// all.
func (s *Subscription) alertSymbols() []string {
	if s.AllAlerts {
		return nil
	}
	return s.Symbols
}

func inUTC(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}
