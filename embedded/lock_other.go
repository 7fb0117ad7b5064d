//go:build !unix

package embedded

import (
	"fmt"
	"os"
)

// lockDir takes no lock here: only Unix systems are supported for shared use.
func lockDir(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() {}, nil
}
