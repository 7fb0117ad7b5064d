package notify

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const goodFile = `
channels:
  - name: ops
    kind: webhook
    url_env: OPS_URL
    secret_env: OPS_SECRET
  - {name: open, kind: webhook, url: "https://example.com/in", secret_file: secret}
  - {name: team, kind: slack, url_file: team-url, ca_file: ca.pem}
  - name: mail
    kind: email
    smtp: smtp.example.com:587
    username: alerts
    password_file: password
    from: Hypertick <alerts@example.com>
    to: [ops@example.com, desk@example.com]
  - {name: mail-tls, kind: email, smtp: "smtp.example.com:465", from: a@example.com, to: [b@example.com]}
  - {name: mail-plain, kind: email, smtp: "relay:25", tls: none, from: a@example.com, to: [b@example.com]}
`

func testEnv(name string) string {
	return map[string]string{"OPS_URL": "https://hooks.example.com/secret-path", "OPS_SECRET": string(testSecret) + "\n", "BAD_URL": "https://secret\x7f/"}[name]
}

func testFile(name string) ([]byte, error) {
	text, ok := map[string]string{"secret": string(testSecret) + "\n", "team-url": "https://hooks.slack.com/services/secret\n", "password": "pw secret\n", "empty": " \n"}[name]
	if !ok {
		return nil, fmt.Errorf("open %s: %w", name, os.ErrNotExist)
	}
	return []byte(text), nil
}

func TestParseChannels(t *testing.T) {
	t.Parallel()
	got, err := ParseChannels([]byte(goodFile), testEnv, testFile)
	if err != nil {
		t.Fatal(err)
	}
	want := []Channel{
		{Name: "ops", Kind: Webhook, URL: "https://hooks.example.com/secret-path", Secret: testSecret},
		{Name: "open", Kind: Webhook, URL: "https://example.com/in", Secret: testSecret},
		{Name: "team", Kind: Slack, URL: "https://hooks.slack.com/services/secret", CAFile: "ca.pem"},
		{Name: "mail", Kind: Mail, Email: Email{Server: "smtp.example.com:587", TLS: "starttls", Username: "alerts", Password: "pw secret", From: "Hypertick <alerts@example.com>", To: []string{"ops@example.com", "desk@example.com"}}},
		{Name: "mail-tls", Kind: Mail, Email: Email{Server: "smtp.example.com:465", TLS: "tls", From: "a@example.com", To: []string{"b@example.com"}}},
		{Name: "mail-plain", Kind: Mail, Email: Email{Server: "relay:25", TLS: "none", From: "a@example.com", To: []string{"b@example.com"}}},
	}
	if !reflect.DeepEqual(got, want) {
		for i := range want {
			if i < len(got) && !reflect.DeepEqual(got[i], want[i]) {
				t.Errorf("channel %d: fields differ", i)
			}
		}
		t.Errorf("got %d channels, want %d", len(got), len(want))
	}
	asJSON, err := ParseChannels([]byte(`{"channels": [{"name": "ops", "kind": "webhook", "url_env": "OPS_URL", "secret_env": "OPS_SECRET"}]}`), testEnv, testFile)
	if err != nil || !reflect.DeepEqual(asJSON, want[:1]) {
		t.Errorf("as JSON: %d channels, %v", len(asJSON), err)
	}
	if empty, err := ParseChannels(nil, testEnv, testFile); err != nil || len(empty) > 0 {
		t.Errorf("an empty file: %d channels, %v", len(empty), err)
	}

	path := filepath.Join(t.TempDir(), "channels.yaml")
	if err := os.WriteFile(path, []byte("channels: [{name: x}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadChannels(path, testEnv); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("an error of a file: %v, want its name", err)
	}
	if _, err := ReadChannels(path+"x", testEnv); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestBadChannels(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{}`:                                           `name: want`,
		`{name: Ops, kind: webhook}`:                   `name: want lower case`,
		`{name: ops, kind: pager}`:                     `kind: want webhook, slack or email, got "pager"`,
		`{name: ops, kind: webhook}`:                   `url: want one, got none`,
		`{name: ops, hue: 1}`:                          `field hue not found`,
		`{name: ops, kind: [1]}`:                       `line 1`,
		`{name: ops, kind: webhook, url_env: NOT_SET}`: `url_env: the variable NOT_SET is not set`,
		`{name: ops, kind: webhook, url_env: BAD_URL, secret_env: OPS_SECRET}`:   `url: want one that begins with https://`,
		`{name: ops, kind: webhook, url: "ftp://x/y", secret_env: OPS_SECRET}`:   `url: want one that begins with https://`,
		`{name: ops, kind: webhook, url: "https://x/y"}`:                         `secret: want one, got none`,
		`{name: ops, kind: webhook, url: "https://x/y", secret_env: OPS_URL}`:    `secret: want whsec_`,
		`{name: ops, kind: webhook, url: "https://x/y", url_env: OPS_URL}`:       `url: want it in one place, got 2`,
		`{name: ops, kind: webhook, url: "https://x/y", secret_file: not-there}`: `secret_file: open not-there`,
		`{name: ops, kind: webhook, url: "https://x/y", secret_file: empty}`:     `secret_file: empty is empty`,
		`{name: ops, kind: webhook, url: "https://x/y", smtp: "x:25"}`:           `want none where kind is webhook`,
		`{name: ops, kind: slack, url: "https://x/y", secret_env: OPS_SECRET}`:   `want none where kind is slack`,
		`{name: ops, kind: slack}`:                                        `url: want one, got none`,
		`{name: ops, kind: email, url: "https://x/y"}`:                    `want none where kind is email`,
		`{name: ops, kind: email}`:                                        `smtp: want host:port, got ""`,
		`{name: ops, kind: email, smtp: "x:99999"}`:                       `smtp: want host:port`,
		`{name: ops, kind: email, smtp: "x:25", tls: maybe}`:              `tls: want starttls, tls or none, got "maybe"`,
		`{name: ops, kind: email, smtp: "x:25", password_file: password}`: `username: want one`,
		`{name: ops, kind: email, smtp: "x:25"}`:                          `to: want at least one`,
		`{name: ops, kind: email, smtp: "x:25", to: [a@b.c]}`:             `from: want an address`,
		`{name: ops, kind: email, smtp: "x:25", to: [a], from: a@b.c}`:    `to: want addresses, got "a"`,
	} {
		_, err := ParseChannels([]byte("channels: ["+text+"]"), testEnv, testFile)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
			continue
		}
		if strings.Contains(err.Error(), "secret-path") || strings.Contains(err.Error(), "\x7f") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: the error holds a secret, or more than a line: %q", text, err)
		}
	}
}

func FuzzParseChannels(f *testing.F) {
	f.Add([]byte(goodFile))
	f.Add([]byte(`{"channels": [{"name": "a", "kind": "slack", "url": "http://a"}]}`))
	f.Add([]byte("channels: &a [*a]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		channels, err := ParseChannels(b, testEnv, testFile)
		if err != nil {
			if s := err.Error(); strings.Contains(s, "\n") {
				t.Errorf("an error of several lines: %q", s)
			}
			return
		}
		// What is accepted can be opened, but for files that are not there.
		cfg := Config{}
		if err := cfg.complete(); err != nil {
			t.Fatal(err)
		}
		for _, c := range channels {
			if _, err := open(c, &cfg); err != nil && c.CAFile == "" {
				t.Errorf("accepted, but: %v", err)
			}
		}
	})
}

func TestParseSMTP(t *testing.T) {
	t.Parallel()
	for address, want := range map[Secret]Email{
		"smtp://mail.example.com":                 {Server: "mail.example.com:587", TLS: "starttls"},
		"smtps://a%40b:p%2Fw%3F@mail.example.com": {Server: "mail.example.com:465", TLS: "tls", Username: "a@b", Password: "p/w?"},
		"smtp://relay:25?tls=none":                {Server: "relay:25", TLS: "none"},
		"smtp://u:p@[::1]:2525/":                  {Server: "[::1]:2525", TLS: "starttls", Username: "u", Password: "p"},
	} {
		if got, err := ParseSMTP(address); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v, %v", string(address), got, err)
		}
	}
	for _, bad := range []Secret{"", "mail:25", "http://u:secret@x", "smtp://u:sec ret@x", "smtp://u:secret@x/inbox", "smtp://u:secret@x?verify=no", "smtp://:25"} {
		if _, err := ParseSMTP(bad); err == nil || strings.Contains(err.Error(), "sec") {
			t.Errorf("%q: got %v, want an error without what is in it", string(bad), err)
		}
	}
}

func TestBadConfig(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]Config{
		"timeout: ":                    {Timeout: 11e9},
		"tries: ":                      {Tries: 101},
		"retry: ":                      {FirstRetry: 2, LastRetry: 1},
		"lease: ":                      {Lease: 1e9},
		"poll: ":                       {Poll: -1},
		`channel "x": kind: `:          {Channels: []Channel{{Name: "x"}}},
		`channel "x": ca_file: `:       {Channels: []Channel{{Name: "x", Kind: Slack, URL: "https://x/", CAFile: "/does/not/exist"}}},
		"no channel is configured":     {},
		"channel: want one of y, got ": {Channels: []Channel{{Name: "y", Kind: Slack, URL: "https://x/"}}},
	} {
		if err := Test(t.Context(), cfg, "x"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, err := New(Config{}); err == nil || !strings.Contains(err.Error(), "pool: ") {
		t.Errorf("without a pool: %v", err)
	}
}
