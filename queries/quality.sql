-- name: QualityCounts :many
-- Counts data quality findings by kind: those that last, and gaps and outliers of the
-- last hour.
SELECT f.kind, count(*) AS findings
FROM quality_findings f
WHERE f.ended_at IS NULL OR f.kind IN ('gap', 'outlier') AND f.seen_at > now() - INTERVAL '1 hour'
GROUP BY f.kind;
