package receiver

import (
	"context"
	"encoding/json"
	"strings"

	"pillarbox/internal/alert"
)

// slackSender posts to an incoming webhook of Slack, and to what takes the same, as Mattermost
// does.
type slackSender struct{ poster }

// Single implements alert.Sender.
func (slackSender) Single() bool { return false }

// slackMessage is what an incoming webhook takes. Nothing of it is mrkdwn: texts are shown as they
// are.
type slackMessage struct {
	Text        string            `json:"text"`
	Markdown    bool              `json:"mrkdwn"`
	Attachments []slackAttachment `json:"attachments"`
}

type slackAttachment struct {
	Color    string `json:"color"`
	Fallback string `json:"fallback"`
	Text     string `json:"text"`
}

// slackEscape takes its meaning from what Slack reads in any text: links, and calls such as
// <!channel>.
var slackEscape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// The colours of the bar beside an alert.
const (
	red    = "#d32f2f"
	yellow = "#f9a825"
	green  = "#2e7d32"
)

func colorOf(i *alert.Item) string {
	switch {
	case i.Event != alert.EventFiring:
		return green
	case i.Severity == alert.High:
		return red
	}
	return yellow
}

// Send implements alert.Sender.
func (s slackSender) Send(ctx context.Context, m *alert.Message) error {
	said := slackMessage{Text: slackEscape.Replace(m.Title())}
	if m.Dashboard != "" {
		said.Text += "\n<" + slackEscape.Replace(strings.ReplaceAll(m.Dashboard, "|", "%7C")) + ">"
	}
	for i := range m.Items {
		item := &m.Items[i]
		said.Attachments = append(said.Attachments, slackAttachment{Color: colorOf(item),
			Fallback: slackEscape.Replace(item.Summary),
			Text:     slackEscape.Replace(item.Text())})
	}
	if m.More > 0 {
		said.Attachments = append(said.Attachments, slackAttachment{Color: yellow, Fallback: "more",
			Text: slackEscape.Replace(m.Rest())})
	}
	body, err := json.Marshal(said)
	if err != nil {
		return err
	}
	return s.post(ctx, m.ID, body)
}
