package cli

import (
	"fmt"

	"github.com/hypertick/hypertick/api"
)

type keyCmd struct {
	New keyNewCmd `cmd:"" help:"Create a key: print it once, and append its hash to the file of keys."`
}

type keyNewCmd struct {
	Name string `help:"Name of the key, for the log and the rate limit." required:"" placeholder:"NAME" env:"-"`
	File string `help:"File to append the hash to; created with mode 0600 if missing. Without it, print the line." env:"HYPERTICK_API_KEYS_FILE" placeholder:"FILE" type:"path"`
}

// Run prints only the key on standard output, for scripts.
func (c *keyNewCmd) Run(e *env) error {
	secret, line, err := api.NewKey(c.File, c.Name)
	if err != nil {
		return err
	}
	fmt.Fprintln(e.out, secret)
	if c.File == "" {
		fmt.Fprintf(e.errOut, "This is the key; it cannot be shown again. Line for the file of --api-keys-file:\n%s\n", line)
	} else {
		fmt.Fprintf(e.errOut, "This is the key; it cannot be shown again. Its hash is in %s; servers that use this file accept the key at once.\n", c.File)
	}
	return nil
}
