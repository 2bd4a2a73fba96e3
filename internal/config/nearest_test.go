package config_test

import (
	"testing"

	"pillarbox/internal/config"
)

func TestNearest(t *testing.T) {
	known := []string{"alarm_emails_high", "alarm_emails_low", "waf", "region", ""}
	for name, want := range map[string]string{
		"alarm_email_high": "alarm_emails_high", "alarm_emails_lo": "alarm_emails_low", "wav": "waf", "regoin": "region",
		"wfa": "waf", "alarm_emials_low": "alarm_emails_low",
		"tags": "", "": "", "x": "", "alarms": "",
	} {
		if got := config.Nearest(name, known); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
