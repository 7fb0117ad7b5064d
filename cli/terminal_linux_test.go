package cli_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
)

// onTerminal runs the command in a process of its own on a terminal, and types answer
// when it has printed prompt. It returns the exit code and what the terminal shows.
func onTerminal(t *testing.T, prompt, answer string, args ...string) (int, string) {
	t.Helper()
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminal to be had: %v", err)
	}
	defer terminal.Close()
	if err := unix.IoctlSetPointerInt(int(terminal.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.OpenFile(filepath.Join("/dev/pts", strconv.Itoa(n)), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = other, other, other
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	other.Close()
	// Reading fails with EIO once the process has closed its end.
	var shown strings.Builder
	buf, typed := make([]byte, 1024), false
	for {
		got, err := terminal.Read(buf)
		shown.Write(buf[:got])
		if !typed && strings.Contains(shown.String(), prompt) {
			typed = true
			if _, err := terminal.WriteString(answer); err != nil {
				t.Fatal(err)
			}
		}
		if errors.Is(err, syscall.EIO) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	_ = cmd.Wait() // the exit code is checked
	if !typed {
		t.Errorf("want the prompt %q, got %s", prompt, shown.String())
	}
	return cmd.ProcessState.ExitCode(), shown.String()
}

func TestMigrateDownOnTerminal(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	server, err := db.ServerAt(t.Context(), d.URL)
	if err != nil {
		t.Fatal(err)
	}
	before := applied(t, d)
	const prompt = "Type the name of the database to continue: "
	args := []string{"migrate", "--database-url", d.URL, "--down-to", strconv.FormatInt(before[len(before)-1]-1, 10)}
	for _, answer := range []string{"yes\n", "\n", "\x04"} { // the last is the end of input
		code, shown := onTerminal(t, prompt, answer, args...)
		if code != 2 || !strings.Contains(shown, "nothing was rolled back") {
			t.Errorf("answer %q: want exit code 2 and nothing rolled back, got %d, %s", answer, code, shown)
		}
	}
	if got := applied(t, d); !slices.Equal(got, before) {
		t.Fatalf("want nothing rolled back, %v are left", got)
	}
	code, shown := onTerminal(t, prompt, server.Database+"\n", args...)
	if code != 0 || !strings.Contains(shown, "rolls back 1 of "+strconv.Itoa(len(before))) {
		t.Errorf("want exit code 0 and what will be lost, got %d, %s", code, shown)
	}
	if got := applied(t, d); !slices.Equal(got, before[:len(before)-1]) {
		t.Errorf("want %v left, got %v", before[:len(before)-1], got)
	}
}
