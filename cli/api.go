package cli

import (
	"github.com/hypertick/hypertick/api"
	"github.com/hypertick/hypertick/db"
)

type listenFlag struct {
	Listen string `help:"Where the REST API listens." default:"127.0.0.1:8080" placeholder:"HOST:PORT"`
}

type apiCmd struct {
	databaseFlag
	listenFlag
}

// Run serves until it is told to stop.
func (c *apiCmd) Run(e *env) error {
	pool, err := db.NewPool(c.DatabaseURL, 0)
	if err != nil {
		return err
	}
	defer pool.Close()
	server, err := api.New(api.Config{Pool: pool, Listen: c.Listen, Log: e.log})
	if err != nil {
		return err
	}
	return server.Run(e.ctx)
}
