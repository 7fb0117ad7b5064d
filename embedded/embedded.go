// Package embedded is a stack without installation: a Kafka broker in
// this process and TimescaleDB, built to WebAssembly, in a Node process of its
// own, with a runner for the jobs that its server does not schedule. It is for the
// demo and for tests, not for production: one database backend serves all
// clients, and the broker is a fake of one node.
package embedded

import "fmt"

// ErrInUse is returned if another process has the data directory open.
type ErrInUse struct {
	Dir string
	PID int // 0 if unknown
}

func (e *ErrInUse) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("data directory %s is in use by another process", e.Dir)
	}
	return fmt.Sprintf("data directory %s is in use by process %d", e.Dir, e.PID)
}
