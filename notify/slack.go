package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// slack sends to an incoming webhook of Slack, or of what takes the same:
// Mattermost, Rocket.Chat, Discord's /slack.
type slack struct{ *poster }

func newSlack(c *Channel, cfg *Config) (*slack, error) {
	p, err := newPoster(c, cfg)
	return &slack{p}, err
}

type slackField struct {
	Title string `json:"title"`
	Value string `json:"value"`
	Short bool   `json:"short"`
}

type slackAttachment struct {
	Color    string       `json:"color"`
	Fallback string       `json:"fallback"`
	Fields   []slackField `json:"fields"`
	Footer   string       `json:"footer"`
	TS       int64        `json:"ts"`
}

type slackMessage struct {
	Text        string            `json:"text"`
	Markdown    bool              `json:"mrkdwn"`
	Attachments []slackAttachment `json:"attachments"`
}

// slackEscape escapes the three characters of Slack's markup: without it, a symbol
// like <!channel> would notify everybody.
var slackEscape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// colours by severity, and by kind where that says more.
var colours = map[string]string{
	"info": "#2f80ed", "warning": "#f2a100", "critical": "#d92d20", "resolved": "#2e9e5b", "retracted": "#8a8f98",
}

func (m *message) slack() slackMessage {
	p := &m.payload
	colour, ok := colours[p.Kind]
	if !ok {
		colour = colours[p.Severity]
	}
	title := slackEscape.Replace(m.title())
	a := slackAttachment{Color: colour, Fallback: title, Footer: "Hypertick " + m.id, TS: m.created.Unix()}
	for _, f := range m.facts() {
		a.Fields = append(a.Fields, slackField{Title: f[0], Value: slackEscape.Replace(f[1]), Short: true})
	}
	// Without markup: two symbols like SPX* would be bold and lose their stars.
	return slackMessage{Text: title, Markdown: false, Attachments: []slackAttachment{a}}
}

// slackReason matches the reasons of Slack, such as no_service or invalid_payload.
var slackReason = regexp.MustCompile(`^[a-z_]{1,40}$`)

func (s *slack) send(ctx context.Context, m *message) error {
	body, err := json.Marshal(m.slack())
	if err != nil {
		return &failure{err: err, final: true}
	}
	answer, err := s.post(ctx, body, map[string]string{headerKey: m.id})
	var f *failure
	if errors.As(err, &f) && slackReason.Match(answer) {
		f.err = fmt.Errorf("%w: %s", f.err, answer)
	}
	return err
}
