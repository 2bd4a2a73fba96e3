package config

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Alerts says who is told when something is wrong. Without receivers and a heartbeat nothing is
// looked at.
type Alerts struct {
	Name         string          `yaml:"name"`      // of this server in messages; empty for that of the machine
	Dashboard    string          `yaml:"dashboard"` // its address in messages; empty for none
	Rules        string          `yaml:"rules"`     // file that changes the rules that are built in, and has others; empty for none
	Every        Duration        `yaml:"every"`     // between two looks
	GroupWait    Duration        `yaml:"group_wait"`
	ResolveAfter Duration        `yaml:"resolve_after"`
	Repeat       AlertRepeat     `yaml:"repeat"`
	QuietHours   QuietHours      `yaml:"quiet_hours"`
	Heartbeat    Heartbeat       `yaml:"heartbeat"`
	Receivers    []AlertReceiver `yaml:"receivers"`
}

// On reports whether anybody is told anything.
func (a *Alerts) On() bool { return len(a.Receivers) > 0 || a.Heartbeat.URL != "" }

// AlertRepeat is the time between two messages about what goes on, by severity.
type AlertRepeat struct {
	High Duration `yaml:"high"`
	Low  Duration `yaml:"low"`
}

// QuietHours are when nobody is told what is of a low severity.
type QuietHours struct {
	From     string   `yaml:"from"`
	To       string   `yaml:"to"`
	TimeZone string   `yaml:"time_zone"`
	Days     []string `yaml:"days"`
}

// IsSet reports whether there are any, or part of them.
func (q *QuietHours) IsSet() bool {
	return q.From != "" || q.To != "" || q.TimeZone != "" || len(q.Days) > 0
}

// Heartbeat is a URL that is asked for while the server lives.
type Heartbeat struct {
	URL          Secret   `yaml:"url"` // empty for none
	Every        Duration `yaml:"every"`
	AllowPrivate bool     `yaml:"allow_private"`
}

// AlertReceiver is who is told.
type AlertReceiver struct {
	Name       string   `yaml:"name"`
	Kind       string   `yaml:"kind"`
	Severities []string `yaml:"severities"` // empty for all

	URL            Secret            `yaml:"url"` // of all but email
	SigningSecrets []Secret          `yaml:"signing_secrets"`
	Headers        map[string]Secret `yaml:"headers"`
	AllowPrivate   bool              `yaml:"allow_private"`
	RoutingKey     Secret            `yaml:"routing_key"` // of pagerduty

	Server   string   `yaml:"server"` // of email, as is all that follows
	Security string   `yaml:"security"`
	User     string   `yaml:"user"`
	Password Secret   `yaml:"password"`
	CA       string   `yaml:"ca"`
	From     string   `yaml:"from"`
	To       []string `yaml:"to"`
}

// The kinds of receivers, and how a server of e-mail is talked to.
const (
	ReceiverWebhook   = "webhook"
	ReceiverSlack     = "slack"
	ReceiverEmail     = "email"
	ReceiverPagerDuty = "pagerduty"

	MailStartTLS = "starttls"
	MailTLS      = "tls"
	MailPlain    = "none"

	severityHigh = "high"
	severityLow  = "low"

	defaultPagerDutyURL = "https://events.pagerduty.com/v2/enqueue"
)

// MaxAlertReceivers bounds alerts.receivers: each is a goroutine, and known to each alert.
const MaxAlertReceivers = 50

// minAlertEvery is the shortest time between looks, repeats and heartbeats.
const minAlertEvery = Duration(time.Second)

func defaultAlerts() Alerts {
	return Alerts{Every: seconds(15), GroupWait: seconds(30), ResolveAfter: seconds(120),
		Repeat:    AlertRepeat{High: seconds(3600), Low: Duration(day)},
		Heartbeat: Heartbeat{Every: seconds(60)}}
}

// resolveAlerts fills in what receivers have that say nothing about it.
func (c *Config) resolveAlerts() {
	for i := range c.Alerts.Receivers {
		r := &c.Alerts.Receivers[i]
		if len(r.Severities) == 0 && !c.IsSet(fmt.Sprintf("alerts.receivers[%d].severities", i)) {
			r.Severities = []string{severityHigh, severityLow}
		}
		if r.Kind == ReceiverEmail && r.Security == "" {
			r.Security = MailStartTLS
		}
		if r.Kind == ReceiverPagerDuty && r.URL == "" {
			r.URL = defaultPagerDutyURL
		}
	}
}

// alerts checks what is said of alerts. What receivers and rules are made of is looked at with the
// engines.
func (c *checker) alerts() {
	a := &c.config.Alerts
	if !a.On() {
		was, is := Default().values(), c.config.values()
		for _, key := range slices.Sorted(maps.Keys(is)) {
			if strings.HasPrefix(key, "alerts.") && is[key] != was[key] {
				c.fail(key,
					"has no effect: nobody is told anything without alerts.receivers; name one, or leave this out")
			}
		}
		return
	}
	for _, wait := range []struct {
		key   string
		value Duration
	}{{"every", a.Every}, {"repeat.high", a.Repeat.High}, {"repeat.low", a.Repeat.Low},
		{"heartbeat.every", a.Heartbeat.Every}} {
		if wait.value < minAlertEvery {
			c.fail("alerts."+wait.key, "is %v; want at least %v", wait.value, minAlertEvery)
		}
	}
	if a.GroupWait > a.ResolveAfter {
		c.fail("alerts.group_wait",
			"is %v, and alerts.resolve_after %v: what is over within the group's wait would be told to nobody; want no more than that", a.GroupWait, a.ResolveAfter)
	}
	if a.Heartbeat.URL == "" && a.Heartbeat != defaultAlerts().Heartbeat {
		c.fail("alerts.heartbeat",
			"has no effect without alerts.heartbeat.url; set that, or leave this out")
	}
	c.notRedacted("alerts.heartbeat.url", a.Heartbeat.URL)
	if at, err := url.Parse(a.Dashboard); a.Dashboard != "" && (err != nil || at.Host == "" ||
		at.Scheme != "https" && at.Scheme != "http" || at.User != nil) {
		c.fail("alerts.dashboard", "%s: want http://HOST/ or https://HOST/, without credentials",
			c.said("alerts.dashboard", a.Dashboard))
	}
	c.alertReceivers(a)
}

func (c *checker) alertReceivers(a *Alerts) {
	if len(a.Receivers) > MaxAlertReceivers {
		c.fail("alerts.receivers", "there are %d; want at most %d", len(a.Receivers), MaxAlertReceivers)
	}
	low, names := false, map[string]bool{}
	for i := range a.Receivers {
		r, key := &a.Receivers[i], fmt.Sprintf("alerts.receivers[%d]", i)
		switch {
		case !nameForm.MatchString(r.Name):
			c.fail(key+".name", "%s: %s", c.said(key+".name", r.Name), nameRule)
		case names[r.Name]:
			c.fail(key+".name", "the name %q is there twice", r.Name)
		}
		names[r.Name] = true
		low = low || slices.Contains(r.Severities, severityLow)
		c.alertReceiver(key, r)
	}
	if a.QuietHours.IsSet() && !low {
		c.fail(c.firstSet("alerts.quiet_hours"),
			"has no effect: no receiver is told what is of a low severity, and the rest waits for nothing; leave it out, or add low to the severities of one")
	}
}

func (c *checker) alertReceiver(key string, r *AlertReceiver) {
	c.oneOf(key+".kind", r.Kind, ReceiverWebhook, ReceiverSlack, ReceiverEmail, ReceiverPagerDuty)
	if len(r.Severities) == 0 {
		c.fail(key+".severities",
			"is empty, so that nothing is ever told to it; want high, low or both, or leave the key out for both")
	}
	for i, severity := range r.Severities {
		at := fmt.Sprintf("%s.severities[%d]", key, i)
		if c.oneOf(at, severity, severityHigh, severityLow); slices.Contains(r.Severities[:i], severity) {
			c.fail(at, "%s is there twice", c.said(at, severity))
		}
	}
	if r.Kind == ReceiverEmail {
		c.oneOf(key+".security", r.Security, MailStartTLS, MailTLS, MailPlain)
	}
	c.onlyOf(key, r)
	for i, secret := range r.SigningSecrets {
		c.notRedacted(fmt.Sprintf("%s.signing_secrets[%d]", key, i), secret)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		c.notRedacted(key+".headers."+name, r.Headers[name])
	}
	c.notRedacted(key+".url", r.URL)
	c.notRedacted(key+".routing_key", r.RoutingKey)
	c.notRedacted(key+".password", r.Password)
}

// onlyOf refuses what a receiver has that is of another kind.
func (c *checker) onlyOf(key string, r *AlertReceiver) {
	overHTTP := []string{ReceiverWebhook, ReceiverSlack, ReceiverPagerDuty}
	for _, one := range []struct {
		key   string
		isSet bool
		of    []string
	}{
		{"url", r.URL != "", overHTTP}, {"allow_private", r.AllowPrivate, overHTTP}, {"headers",
			len(r.Headers) > 0, overHTTP[:1]},
		{"signing_secrets", len(r.SigningSecrets) > 0, overHTTP[:1]}, {"routing_key", r.RoutingKey != "",
			overHTTP[2:]},
		{"server", r.Server != "", []string{ReceiverEmail}}, {"security", r.Security != "",
			[]string{ReceiverEmail}},
		{"user", r.User != "", []string{ReceiverEmail}}, {"password", r.Password != "",
			[]string{ReceiverEmail}},
		{"ca", r.CA != "", []string{ReceiverEmail}}, {"from", r.From != "", []string{ReceiverEmail}},
		{"to", len(r.To) > 0, []string{ReceiverEmail}},
	} {
		if one.isSet && !slices.Contains(one.of, r.Kind) {
			c.fail(key+"."+one.key,
				"has no effect: it is of receivers of the kind %s, and this one is of the kind %s; leave it out", strings.Join(one.of, ", "), r.Kind)
		}
	}
}
