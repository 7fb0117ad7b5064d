// Package indicator holds the tests of the indicators that live in the database,
// in schema indicator: conformance with TA-Lib on real data, and properties that
// must hold whatever the order of ticks and refreshes. The indicators themselves
// are SQL, in migrations/.
package indicator
