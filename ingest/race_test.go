//go:build race

package ingest

// The race detector multiplies memory, so that none can be measured.
const raceDetector = true
