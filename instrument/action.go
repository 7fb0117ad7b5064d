package instrument

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/feed"
)

// Kinds of corporate actions.
const (
	Split    = "split"
	Dividend = "dividend"
)

// Action is a corporate action.
type Action struct {
	Symbol string
	Kind   string
	ExDate time.Time
	Value  float64 // ratio of a split, cash of a dividend
	Line   int     // of the file it comes from
}

// key is what at most one action in force has.
type key struct{ symbol, kind, day string }

func (a *Action) key() key { return key{a.Symbol, a.Kind, a.ExDate.Format(time.DateOnly)} }

// String describes the action.
func (a *Action) String() string {
	if a.Kind == Split {
		return fmt.Sprintf("split of %s, %v new for an old one, ex %s", a.Symbol, a.Value, a.ExDate.Format(time.DateOnly))
	}
	return fmt.Sprintf("dividend of %s, %v a share, ex %s", a.Symbol, a.Value, a.ExDate.Format(time.DateOnly))
}

// ParseAction reads the fields of an action and returns those that are not valid.
func ParseAction(symbol, kind, exDate, ratio, cash string) (a Action, bad []*FieldError) {
	refuse := func(field, want, got string) { bad = append(bad, &FieldError{field, want, got}) }
	a.Symbol, a.Kind = symbol, kind
	if !feed.ValidSymbol(symbol) {
		refuse("symbol", wantSymbol, symbol)
	}
	var ok bool
	if a.ExDate, ok = ParseDay(exDate); !ok {
		refuse("ex_date", "a day such as 2020-08-31", exDate)
	}
	switch kind {
	case Split:
		if a.Value, ok = ParseRatio(ratio); !ok {
			refuse("ratio", "new shares for an old one, such as 4, 0.1, 4:1 or 1:10", ratio)
		}
		if cash != "" {
			refuse("cash", "nothing for a split", cash)
		}
	case Dividend:
		if a.Value, ok = number(cash); !ok || !ValidCash(a.Value) {
			refuse("cash", "an amount per share above 0", cash)
		}
		if ratio != "" {
			refuse("ratio", "nothing for a dividend", ratio)
		}
	default:
		refuse("kind", "split or dividend", kind)
	}
	return a, bad
}

// ActionColumns are the columns of a file of corporate actions.
var ActionColumns = []string{"symbol", "kind", "ex_date", "ratio", "cash"}

// ReadActions reads a file of corporate actions.
func ReadActions(r io.Reader) ([]Action, []*LineError, error) {
	t, err := read(r, ActionColumns, []string{"symbol", "kind", "ex_date"})
	if err != nil {
		return nil, nil, err
	}
	var out []Action
	seen := map[key]Action{}
	for _, l := range t.lines {
		a, bad := ParseAction(l.cells["symbol"], strings.ToLower(l.cells["kind"]), l.cells["ex_date"], l.cells["ratio"], l.cells["cash"])
		for _, b := range bad {
			t.refuse(l.number, b.Field, fmt.Sprintf("want %s, got %q", b.Want, b.Got))
		}
		if len(bad) > 0 {
			continue
		}
		a.Line = l.number
		if first, twice := seen[a.key()]; twice && first.Value != a.Value {
			t.refuse(l.number, "", fmt.Sprintf("line %d says otherwise: %s", first.Line, &first))
			continue
		}
		seen[a.key()] = a
		out = append(out, a)
	}
	return out, t.sorted(), nil
}

// Replaced is an action in force that another has taken the place of.
type Replaced struct {
	ID       int64
	Old, New Action
}

// Stored is what became of actions.
type Stored struct {
	Added    []Action // those that replace others included
	IDs      []int64  // of Added
	Known    int
	Replaced []Replaced
}

// Store adds actions in the transaction of q. One that is in force is known. One
// that differs in ratio or cash is undone at the time at which the new one is known.
func Store(ctx context.Context, q *db.Queries, actions []Action, source string) (*Stored, error) {
	if err := q.LockActions(ctx); err != nil {
		return nil, fmt.Errorf("lock corporate actions: %w", err)
	}
	symbols := make([]string, len(actions))
	for i, a := range actions {
		symbols[i] = a.Symbol
	}
	rows, err := q.ActionsOf(ctx, symbols)
	if err != nil {
		return nil, fmt.Errorf("read corporate actions: %w", err)
	}
	type inForce struct {
		id  int64
		was Action
	}
	there := map[key]inForce{}
	for _, r := range rows {
		a := Action{Symbol: r.Symbol, Kind: r.Kind, ExDate: r.ExDate.Time}
		if r.Ratio != nil {
			a.Value = *r.Ratio
		} else if r.Cash != nil {
			a.Value = *r.Cash
		}
		there[a.key()] = inForce{r.ID, a}
	}
	out := &Stored{}
	var undo []int64
	arg := db.InsertActionsParams{Source: source}
	for _, a := range actions {
		old, known := there[a.key()]
		if known && old.was.Value == a.Value {
			out.Known++
			continue
		}
		if known {
			undo = append(undo, old.id)
			out.Replaced = append(out.Replaced, Replaced{old.id, old.was, a})
		}
		there[a.key()] = inForce{was: a}
		out.Added = append(out.Added, a)
		arg.Symbols, arg.Kinds = append(arg.Symbols, a.Symbol), append(arg.Kinds, a.Kind)
		arg.ExDates, arg.Amounts = append(arg.ExDates, Day(a.ExDate)), append(arg.Amounts, a.Value)
	}
	if len(out.Added) == 0 {
		return out, nil
	}
	at, err := q.Clock(ctx)
	if err != nil {
		return nil, fmt.Errorf("read clock: %w", err)
	}
	if _, err := q.UndoActions(ctx, db.UndoActionsParams{At: at, Ids: undo}); err != nil {
		return nil, fmt.Errorf("undo corporate actions: %w", err)
	}
	arg.At = at
	if out.IDs, err = q.InsertActions(ctx, arg); err != nil {
		return nil, fmt.Errorf("add corporate actions: %w", err)
	}
	return out, nil
}

// Undo withdraws an action and reports whether it was in force.
func Undo(ctx context.Context, q *db.Queries, id int64) (bool, error) {
	if err := q.LockActions(ctx); err != nil {
		return false, fmt.Errorf("lock corporate actions: %w", err)
	}
	at, err := q.Clock(ctx)
	if err != nil {
		return false, fmt.Errorf("read clock: %w", err)
	}
	n, err := q.UndoActions(ctx, db.UndoActionsParams{At: at, Ids: []int64{id}})
	if err != nil {
		return false, fmt.Errorf("undo corporate action: %w", err)
	}
	return n > 0, nil
}
