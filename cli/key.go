package cli

import (
	"fmt"

	"github.com/hypertick/hypertick/api"
)

type keyCmd struct {
	New keyNewCmd `cmd:"" help:"Make a key: it is printed once, and its hash goes into the file of keys."`
}

type keyNewCmd struct {
	Name string `help:"Who the key is for; it stands in the log and separates the rate limits." required:"" placeholder:"NAME" env:"-"`
	File string `help:"File the hash is appended to; made with mode 0600 when it does not exist. Without it, the line is printed." env:"HYPERTICK_API_KEYS_FILE" placeholder:"FILE" type:"path"`
}

// Run prints the key alone on standard output, for scripts.
func (c *keyNewCmd) Run(e *env) error {
	secret, line, err := api.NewKey(c.File, c.Name)
	if err != nil {
		return err
	}
	fmt.Fprintln(e.out, secret)
	if c.File == "" {
		fmt.Fprintf(e.errOut, "This is the key; it cannot be shown again. Line for the file of --api-keys-file:\n%s\n", line)
	} else {
		fmt.Fprintf(e.errOut, "This is the key; it cannot be shown again. Its hash is in %s; servers that use it know the key at once.\n", c.File)
	}
	return nil
}
