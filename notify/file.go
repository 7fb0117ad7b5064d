package notify

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// entry is a channel in the file. A secret is given itself, or by the name of a
// variable or of a file.
type entry struct {
	Name         string   `yaml:"name"`
	Kind         string   `yaml:"kind"`
	URL          string   `yaml:"url"`
	URLEnv       string   `yaml:"url_env"`
	URLFile      string   `yaml:"url_file"`
	SecretEnv    string   `yaml:"secret_env"`
	SecretFile   string   `yaml:"secret_file"`
	SMTP         string   `yaml:"smtp"`
	TLS          string   `yaml:"tls"`
	Username     string   `yaml:"username"`
	PasswordEnv  string   `yaml:"password_env"`
	PasswordFile string   `yaml:"password_file"`
	From         string   `yaml:"from"`
	To           []string `yaml:"to"`
	CAFile       string   `yaml:"ca_file"`
}

// ReadChannels reads a file of channels, YAML or JSON. getenv looks up the
// variables that it names.
func ReadChannels(path string, getenv func(string) string) ([]Channel, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	channels, err := ParseChannels(b, getenv, os.ReadFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return channels, nil
}

// ParseChannels is ReadChannels of a file's content. An error names the
// channel and the field.
func ParseChannels(b []byte, getenv func(string) string, readFile func(string) ([]byte, error)) ([]Channel, error) {
	var file struct {
		Channels []entry `yaml:"channels"`
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.New(strings.ReplaceAll(err.Error(), "\n", ";"))
	}
	out := make([]Channel, 0, len(file.Channels))
	for i := range file.Channels {
		e := &file.Channels[i]
		c, err := e.channel(getenv, readFile)
		if err == nil {
			err = c.check()
		}
		if err != nil {
			return nil, fmt.Errorf("channels[%d] (%.63q): %w", i, e.Name, err)
		}
		out = append(out, c)
	}
	return out, nil
}

func (e *entry) channel(getenv func(string) string, readFile func(string) ([]byte, error)) (Channel, error) {
	c := Channel{Name: e.Name, Kind: e.Kind, CAFile: e.CAFile}
	var failed error
	look := func(field, plain, env, file string) Secret {
		value, err := lookup(field, plain, env, file, getenv, readFile)
		if failed == nil {
			failed = err
		}
		return value
	}
	switch e.Kind {
	case Webhook, Slack:
		if e.SMTP != "" || e.TLS != "" || e.Username != "" || e.PasswordEnv != "" || e.PasswordFile != "" || e.From != "" || len(e.To) > 0 {
			return c, fmt.Errorf("smtp, tls, username, password_env, password_file, from and to: want none where kind is %s", e.Kind)
		}
		c.URL = look("url", e.URL, e.URLEnv, e.URLFile)
		if e.Kind == Slack && (e.SecretEnv != "" || e.SecretFile != "") {
			return c, errors.New("secret_env and secret_file: want none where kind is slack")
		}
		c.Secret = look("secret", "", e.SecretEnv, e.SecretFile)
	case Mail:
		if e.URL != "" || e.URLEnv != "" || e.URLFile != "" || e.SecretEnv != "" || e.SecretFile != "" {
			return c, errors.New("url, url_env, url_file, secret_env and secret_file: want none where kind is email")
		}
		c.Email = Email{Server: e.SMTP, TLS: e.TLS, Username: e.Username, From: e.From, To: e.To}
		c.Email.Password = look("password", "", e.PasswordEnv, e.PasswordFile)
		if c.Email.TLS == "" {
			c.Email.TLS = "starttls"
			if _, port, _ := net.SplitHostPort(e.SMTP); port == "465" {
				c.Email.TLS = "tls"
			}
		}
	}
	return c, failed
}

// lookup returns the value of a secret. An error names its source.
func lookup(field, plain, env, file string, getenv func(string) string, readFile func(string) ([]byte, error)) (Secret, error) {
	given := 0
	for _, s := range []string{plain, env, file} {
		if s != "" {
			given++
		}
	}
	switch {
	case given > 1:
		return "", fmt.Errorf("%s: want it in one place, got %d", field, given)
	case env != "":
		value := getenv(env)
		if value == "" {
			return "", fmt.Errorf("%s_env: the variable %s is not set", field, env)
		}
		return Secret(strings.TrimSpace(value)), nil
	case file != "":
		b, err := readFile(file)
		if err != nil {
			return "", fmt.Errorf("%s_file: %w", field, err)
		}
		value := strings.TrimSpace(string(b))
		if value == "" {
			return "", fmt.Errorf("%s_file: %s is empty", field, file)
		}
		return Secret(value), nil
	}
	return Secret(plain), nil
}
