package embedded

import "syscall"

// childAttributes has the kernel kill the child with its parent, and keeps a
// Ctrl-C at the terminal from reaching the child before its parent has let go.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
