package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// Addresses of the dashboards.
const (
	uidOverview = "hypertick-overview"
	uidSymbol   = "hypertick-symbol"
	uidLab      = "hypertick-lab"
	uidAlerts   = "hypertick-alerts"
	uidPipeline = "hypertick-pipeline"
)

// board has what all dashboards share: links to each other, Grafana's own alert
// annotations, one crosshair over all panels.
func board(uid, title, description, from, refresh string) *dashboard.DashboardBuilder {
	return dashboard.NewDashboardBuilder(title).
		Uid(uid).Description(description).Tags([]string{"hypertick"}).
		Time(from, "now").Refresh(refresh).Timezone("browser").
		Timepicker(dashboard.NewTimePickerBuilder().RefreshIntervals([]string{"5s", "10s", "30s", "1m", "5m", "15m", "1h"})).
		Tooltip(dashboard.DashboardCursorSyncCrosshair).
		Readonly().
		Link(dashboard.NewDashboardLinkBuilder("Hypertick").Type(dashboard.DashboardLinkTypeDashboards).Tags([]string{"hypertick"}).
			Tooltip("The other dashboards, over the same time").AsDropdown(false).IncludeVars(true).KeepTime(true).TargetBlank(false)).
		Annotation(dashboard.NewAnnotationQueryBuilder().Name("Alerts").BuiltIn(1).Type("dashboard").
			Datasource(common.DataSourceRef{Type: cog.ToPtr("grafana"), Uid: cog.ToPtr("-- Grafana --")}).
			Enable(true).Hide(false).IconColor(violet))
}

// marks is an annotation from SQL: columns time, text and tags.
func marks(name, color string, enabled bool, sql string) cog.Builder[dashboard.AnnotationQuery] {
	q := ask(table, sql)
	q.RefID = "Anno"
	return dashboard.NewAnnotationQueryBuilder().Name(name).Datasource(source).Enable(enabled).Hide(false).IconColor(color).Target(q)
}

// markGaps shows where ticks are missing.
func markGaps(where string) cog.Builder[dashboard.AnnotationQuery] {
	return marks("Gaps in the feed", neutral, true, `
		SELECT g.before_ts AS time, g.after_ts AS timeend,
		       g.symbol || ' ' || g.venue || ': ' || (SELECT sum(upper(r.part)::numeric - lower(r.part)) FROM (SELECT unnest(g.missing) AS part) r) || ' ticks have not come' AS text, 'gap' AS tags
		FROM public.feed_gaps g
		WHERE g.closed_at IS NULL AND $__timeFilter(g.before_ts)`+where+`
		ORDER BY g.before_ts DESC LIMIT 200`)
}

// markAlerts shows the events of the rules in the database, without retracted ones.
func markAlerts(enabled bool, where string) cog.Builder[dashboard.AnnotationQuery] {
	return marks("Alerts", downStrong, enabled, `
		SELECT e.bar AS time, e.message AS text, concat_ws(',', e.severity, e.rule) AS tags
		FROM alert.events e
		WHERE $__timeFilter(e.bar) AND e.state <> 'retracted'`+where+`
		ORDER BY e.bar DESC LIMIT 200`)
}

const (
	symbolsSQL    = `SELECT DISTINCT p.symbol FROM public.feed_positions p ORDER BY p.symbol`
	intervalsSQL  = `SELECT i."interval" FROM public.intervals i ORDER BY i.width`
	indicatorsSQL = `SELECT c.name AS __value, c.title || ' (' || c.name || ')' AS __text FROM indicator.catalog c ORDER BY c.name`
)

func pick(name, label, description, sql string) *dashboard.QueryVariableBuilder {
	return dashboard.NewQueryVariableBuilder(name).Label(label).Description(description).Datasource(source).
		Query(dashboard.StringOrMap{String: cog.ToPtr(sql)}).Definition(sql).
		Refresh(dashboard.VariableRefreshOnDashboardLoad).Sort(dashboard.VariableSortDisabled).Multi(false).IncludeAll(false)
}

func pickSymbol() *dashboard.QueryVariableBuilder {
	return pick("symbol", "Symbol", "Symbols that a feed has reported.", symbolsSQL)
}

func pickInterval(first string) *dashboard.QueryVariableBuilder {
	return pick("interval", "Interval", "Length of a bar.", intervalsSQL).Current(chosen(first, first))
}

func chosen(text, value string) dashboard.VariableOption {
	return dashboard.VariableOption{
		Selected: cog.ToPtr(true),
		Text:     dashboard.StringOrArrayOfString{String: &text}, Value: dashboard.StringOrArrayOfString{String: &value},
	}
}

// all selects every value by default.
func all(v *dashboard.QueryVariableBuilder) *dashboard.QueryVariableBuilder {
	return v.Multi(true).IncludeAll(true).Current(dashboard.VariableOption{
		Selected: cog.ToPtr(true),
		Text:     dashboard.StringOrArrayOfString{ArrayOfString: []string{"All"}},
		Value:    dashboard.StringOrArrayOfString{ArrayOfString: []string{"$__all"}},
	})
}
