package indicator

import (
	"flag"
	"os"
	"testing"
)

// Each check of a property here asks a database several dozen questions: 20 of
// them are enough for a run, unless -rapid.checks says otherwise.
func TestMain(m *testing.M) {
	_ = flag.Set("rapid.checks", "20")
	flag.Parse()
	os.Exit(m.Run())
}
