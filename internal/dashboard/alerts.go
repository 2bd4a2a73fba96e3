package dashboard

import (
	"errors"
	"net/http"
	"slices"

	"pillarbox"
)

// alertList is what is shown of the built-in alerts.
type alertList struct {
	Alerts []struct {
		Alert    string `json:"alert"`
		Severity string `json:"severity"`
		State    string `json:"state"`
		Summary  string `json:"summary"`
	} `json:"alerts"`
	Receivers []struct {
		Receiver     string              `json:"receiver"`
		FailingSince pillarbox.Timestamp `json:"failing_since"`
		LastError    string              `json:"last_error"`
	} `json:"receivers"`
}

// saidAnyway are the alerts whose condition the overview shows by itself, with what to press.
var saidAnyway = []string{"PillarboxNotAccepting", "PillarboxDestinationDown", "PillarboxPaused",
	"PillarboxHeld", "PillarboxLedgerUnbalanced", "PillarboxDiskHangs", "PillarboxQueueFillsUp",
	"PillarboxDeadLetters", "PillarboxCertificate", "PillarboxCertificateEnds", "PillarboxCanaryLost",
	"PillarboxCanaryRefused"}

// alerting lists the alerts that fire, and who takes no messages about them. Where nobody is told of
// alerts, there are none.
func (d *Dashboard) alerting(v *view) (all []need, err error) {
	var list alertList
	err = d.ask(v.Request, "/api/v1/alerts", &list)
	var refused *apiError
	if errors.As(err, &refused) && refused.Status == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, a := range list.Alerts {
		if a.State == "firing" && !slices.Contains(saidAnyway, a.Alert) {
			all = append(all, need{Severe: a.Severity == "high", What: a.Summary,
				Step: a.Alert + ": its runbook says what to do"})
		}
	}
	for _, r := range list.Receivers {
		if r.FailingSince != 0 {
			all = append(all, need{What: r.Receiver + " takes no messages about alerts: " + r.LastError,
				Step: "mend it, and try pillarbox alerts test " + r.Receiver})
		}
	}
	return all, nil
}
