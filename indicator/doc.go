// Package indicator helps those who add an indicator: it writes the skeleton of
// a migration, lists the catalog, and checks an indicator over stored data. The
// indicators themselves are SQL, in migrations/; the tests here are theirs too:
// conformance with TA-Lib on real data, and properties that must hold whatever
// the order of ticks and refreshes.
package indicator
