package api

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypertick/hypertick/db"
)

// Field is a field of a body that may be absent, null or a value. Exported,
// like what it is a part of, because huma finds fields of embedded structs only then.
type Field[T any] struct {
	given, null bool
	value       T
}

// UnmarshalJSON tells the three apart.
func (f *Field[T]) UnmarshalJSON(b []byte) error {
	f.given = true
	if f.null = string(b) == "null"; f.null {
		return nil
	}
	return json.Unmarshal(b, &f.value)
}

// MarshalJSON gives what was read.
func (f Field[T]) MarshalJSON() ([]byte, error) {
	if !f.given || f.null {
		return []byte("null"), nil
	}
	return json.Marshal(f.value)
}

// Schema describes the value in the OpenAPI document.
func (Field[T]) Schema(r huma.Registry) *huma.Schema {
	s := *r.Schema(reflect.TypeFor[T](), true, "")
	s.Nullable = false
	return &s
}

// ParamsField are parameters of a body.
type ParamsField struct{ Field[Params] }

// encoded returns the field as JSON, which its column stores.
func (f ParamsField) encoded() Field[[]byte] {
	b, err := json.Marshal(f.value)
	if err != nil {
		panic(err) // numbers, text and booleans always marshal
	}
	return Field[[]byte]{f.given, f.null, b}
}

// IntervalField is an interval of a body.
type IntervalField struct{ Field[IntervalName] }

// text returns the field as text, which its column stores.
func (f IntervalField) text() Field[string] { return Field[string]{f.given, f.null, string(f.value)} }

// set puts a given value into to; null is fallback.
func set[T any](f Field[T], to *T, fallback T) {
	switch {
	case f.null:
		*to = fallback
	case f.given:
		*to = f.value
	}
}

// clearable puts a given value into a column that may be null.
func clearable[T any](f Field[T], to **T) {
	switch {
	case f.null:
		*to = nil
	case f.given:
		*to = &f.value
	}
}

// AlertTerms are what a rule may say besides its name and its condition. The
// database judges them together.
type AlertTerms struct {
	Description      Field[string]   `json:"description,omitzero" nullable:"true" maxLength:"1000" doc:"What it is for; null is the same as empty." example:"Four times the usual volume."`
	Symbols          Field[[]string] `json:"symbols,omitzero" nullable:"true" minItems:"1" maxItems:"1000" doc:"Symbols, or patterns with * (any text) and ? (any one character), whose meaning a backslash takes off; null, and by default, all. Where the condition is fails: parts of the pipeline." example:"[\"AAPL\",\"BTC-*\"]"`
	Interval         IntervalField   `json:"interval,omitzero" nullable:"true" doc:"Interval of the bars: one of /v1/intervals, or any number of s, m, h, d, w, mo or y such as 90m. Needed unless the condition is fails." example:"1m"`
	Indicator        Field[string]   `json:"indicator,omitzero" nullable:"true" maxLength:"63" doc:"Name in /v1/indicators; sma with period 1 is the close. Needed unless the condition is fails. Another indicator than before begins with its default parameters and series." example:"volume_spike"`
	Params           ParamsField     `json:"params,omitzero" nullable:"true" maxProperties:"50" doc:"Parameters of the indicator by name; those left out have their defaults." example:"{\"period\":20}"`
	Series           Field[string]   `json:"series,omitzero" nullable:"true" maxLength:"63" doc:"Series of the indicator; null, and by default, the one that has the indicator's name, or its first." example:"ratio"`
	Threshold        Field[float64]  `json:"threshold,omitzero" nullable:"true" doc:"What the series is compared with; for outside the lower bound; for changes, rises and falls the change in percent." example:"4"`
	Upper            Field[float64]  `json:"upper,omitzero" nullable:"true" doc:"For outside: the upper bound." example:"8"`
	AgainstIndicator Field[string]   `json:"against_indicator,omitzero" nullable:"true" maxLength:"63" doc:"Instead of threshold: the indicator the series is compared with." example:"sma"`
	AgainstParams    ParamsField     `json:"against_params,omitzero" nullable:"true" maxProperties:"50" doc:"Its parameters." example:"{\"period\":200}"`
	AgainstSeries    Field[string]   `json:"against_series,omitzero" nullable:"true" maxLength:"63" doc:"Its series." example:"sma"`
	Bars             Field[int32]    `json:"bars,omitzero" nullable:"true" minimum:"1" maximum:"1000" doc:"For above, below and outside: bars in a row on which it must hold. For changes, rises and falls: how many bars the change may take. 1 by default." example:"1"`
	Cooldown         Field[string]   `json:"cooldown,omitzero" nullable:"true" maxLength:"40" doc:"For this long after an event the rule opens no other for the symbol, in the time of the bars: hours, minutes and seconds like 1h30m, at most 8784h. None by default." example:"30m"`
	Severity         Field[string]   `json:"severity,omitzero" nullable:"true" enum:"info,warning,critical" doc:"How much it matters; warning by default." example:"info"`
	Channels         Field[[]string] `json:"channels,omitzero" nullable:"true" maxItems:"100" doc:"Where notifications go, of the channels a notifier has listed; none, the default, means to all of them." example:"[]"`
	NotifyResolved   Field[bool]     `json:"notify_resolved,omitzero" nullable:"true" doc:"Whether the end of an event is notified too; not by default." example:"false"`
	Enabled          Field[bool]     `json:"enabled,omitzero" nullable:"true" doc:"Whether it is evaluated; by default it is." example:"true"`
}

// NewAlertRule is a rule to write.
type NewAlertRule struct {
	Name      string `json:"name" minLength:"1" maxLength:"63" doc:"Lower case letters, digits and dashes, and not the name of another rule." example:"volume-spike"`
	Condition string `json:"condition" enum:"above,below,crosses_above,crosses_below,outside,changes,rises,falls,fails" doc:"How the series must be: above, below; crosses_above, crosses_below (it was not on the bar before); outside (below threshold or above upper); changes, rises, falls (by threshold percent within bars); fails (no series: a part of the pipeline)." example:"above"`
	AlertTerms
}

// AlertRulePatch is a change of a rule: what is absent stays, null is the default.
type AlertRulePatch struct {
	Name      Field[string] `json:"name,omitzero" minLength:"1" maxLength:"63" doc:"Lower case letters, digits and dashes, and not the name of another rule." example:"volume-spike"`
	Condition Field[string] `json:"condition,omitzero" enum:"above,below,crosses_above,crosses_below,outside,changes,rises,falls,fails" doc:"How the series must be; see the creation of a rule." example:"above"`
	AlertTerms
}

// terms are the columns of a rule that a client writes.
type terms = db.UpdateAlertRuleParams

// newTerms are those of a rule that says nothing.
func newTerms() terms {
	return terms{Symbols: []string{"*"}, Params: []byte("{}"), AgainstParams: []byte("{}"), Bars: 1, Severity: "warning", Channels: []string{}, Enabled: true}
}

// apply changes the columns by what is given.
func (in *AlertTerms) apply(to *terms) error {
	if err := in.check(); err != nil {
		return err
	}
	if differs(in.Indicator, to.Indicator) {
		to.Params, to.Series = []byte("{}"), nil
	}
	if differs(in.AgainstIndicator, to.AgainstIndicator) {
		to.AgainstParams, to.AgainstSeries = []byte("{}"), nil
	}
	plain := newTerms()
	set(in.Description, &to.Description, plain.Description)
	set(in.Symbols, &to.Symbols, plain.Symbols)
	clearable(in.Interval.text(), &to.Bar)
	clearable(in.Indicator, &to.Indicator)
	set(in.Params.encoded(), &to.Params, plain.Params)
	clearable(in.Series, &to.Series)
	clearable(in.Threshold, &to.Threshold)
	clearable(in.Upper, &to.Upper)
	clearable(in.AgainstIndicator, &to.AgainstIndicator)
	set(in.AgainstParams.encoded(), &to.AgainstParams, plain.AgainstParams)
	clearable(in.AgainstSeries, &to.AgainstSeries)
	set(in.Bars, &to.Bars, plain.Bars)
	set(in.Severity, &to.Severity, plain.Severity)
	set(in.Channels, &to.Channels, plain.Channels)
	set(in.NotifyResolved, &to.NotifyResolved, plain.NotifyResolved)
	set(in.Enabled, &to.Enabled, plain.Enabled)
	if in.Cooldown.given {
		to.CooldownUs = 0
		if in.Cooldown.value != "" {
			d, err := time.ParseDuration(in.Cooldown.value)
			if err != nil {
				return invalid("body.cooldown", "want a duration like 30m or 1h30m", in.Cooldown.value)
			}
			to.CooldownUs = d.Microseconds()
		}
	}
	return nil
}

// check refuses text that no column can hold.
func (in *AlertTerms) check() error {
	for _, f := range []struct {
		name   string
		values []string
	}{
		{"description", []string{strings.ReplaceAll(in.Description.value, "\n", "")}}, {"symbols", in.Symbols.value},
		{"indicator", []string{in.Indicator.value}}, {"series", []string{in.Series.value}}, {"params", in.Params.value.texts()},
		{"against_indicator", []string{in.AgainstIndicator.value}}, {"against_series", []string{in.AgainstSeries.value}},
		{"against_params", in.AgainstParams.value.texts()}, {"channels", in.Channels.value},
	} {
		for _, v := range f.values {
			if !printable(v) {
				return invalid("body."+f.name, "want printable text", v)
			}
		}
	}
	return nil
}

// differs reports whether a field names another value than its column holds.
func differs(f Field[string], column *string) bool {
	return f.given && (column == nil || f.null || f.value != *column)
}

// texts returns the names of the parameters and the values that are text.
func (p Params) texts() []string {
	out := slices.Collect(maps.Keys(p))
	for _, v := range p {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}
