//go:build unix && !linux

package embedded

import "syscall"

// childAttributes keeps a Ctrl-C at the terminal from reaching the child before
// its parent has let go of it.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
