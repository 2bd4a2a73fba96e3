package signature

import (
	"maps"
	"slices"
	"strings"
)

// SchemeGeneric is the scheme that a configuration describes by hand.
const SchemeGeneric = "generic"

// The other schemes.
const (
	StandardWebhooks = "standard-webhooks"
	GitHub           = "github"
	Stripe           = "stripe"
	Slack            = "slack"
	Shopify          = "shopify"
	Twilio           = "twilio"
	GitLab           = "gitlab"
	Discord          = "discord"
	Square           = "square"
	Meta             = "meta"
	MicrosoftGraph   = "microsoft-graph"
)

// scheme is what is known of a scheme.
type scheme struct {
	timed   bool // it signs a time
	url     bool // it signs the URL
	compile func(Settings) (check checker, headers, bearers []string, err error)
}

// schemes is filled in init, because compiling looks a scheme up.
var schemes map[string]scheme

func init() {
	schemes = map[string]scheme{
		SchemeGeneric: {compile: compileGeneric},
		GitHub: byDescription(checkChosen, Description{Header: "X-Hub-Signature-256",
			Algorithm: HMACSHA256, Prefix: "sha256=", strict: true}),
		Meta: byDescription(checkText, Description{Header: "X-Hub-Signature-256",
			Algorithm: HMACSHA256, Prefix: "sha256=", strict: true}),
		Stripe: byDescription(checkStripe, Description{Header: "Stripe-Signature", Field: "v1",
			Algorithm: HMACSHA256, TimestampField: "t", Signed: "{timestamp}.{body}", strict: true}),
		Slack: byDescription(checkSlack, Description{Header: "X-Slack-Signature", Prefix: "v0=",
			Algorithm: HMACSHA256, TimestampHeader: "X-Slack-Request-Timestamp",
			Signed: "v0:{timestamp}:{body}", strict: true}),
		Shopify: byDescription(checkText, Description{Header: "X-Shopify-Hmac-Sha256",
			Algorithm: HMACSHA256, Encoding: Base64, strict: true}),
		Square: byDescription(checkText, Description{Header: "X-Square-Hmacsha256-Signature",
			Algorithm: HMACSHA256, Encoding: Base64, Signed: "{url}{body}", strict: true}),
		Discord: byDescription(checkDiscord, Description{Header: "X-Signature-Ed25519",
			Algorithm: Ed25519, TimestampHeader: "X-Signature-Timestamp",
			Signed: "{timestamp}{body}", strict: true}),
		StandardWebhooks: {timed: true, compile: compileStandard},
		GitLab:           {timed: true, compile: compileGitLab},
		Twilio:           {url: true, compile: compileTwilio},
		MicrosoftGraph:   {compile: compileGraph},
	}
}

// Schemes lists the names of all schemes.
func Schemes() []string { return slices.Sorted(maps.Keys(schemes)) }

// SignsURL reports whether a scheme needs Settings.URL. That of a description depends on it.
func SignsURL(scheme string) bool { return schemes[scheme].url }

// SignsTime reports whether a scheme signs a time. That of a description depends on it.
func SignsTime(scheme string) bool { return schemes[scheme].timed }

// byDescription is a scheme that is data.
func byDescription(check func(secret string) error, description Description) scheme {
	return scheme{timed: description.timed(), url: description.signs(partURL),
		compile: func(settings Settings) (checker, []string, []string, error) {
			if err := checkEach(settings.Secrets, check); err != nil {
				return nil, nil, nil, err
			}
			settings.Description = description
			return compileGeneric(settings)
		}}
}

func compileGeneric(settings Settings) (checker, []string, []string, error) {
	d, err := compileDescription(settings)
	if err != nil {
		return nil, nil, nil, err
	}
	headers, bearers := d.headers()
	return d, headers, bearers, nil
}

// MinChosen is the shortest secret that a person chooses, in characters: one that signs can be
// guessed by whoever has one signed body, as fast as a machine can hash.
const MinChosen = 8

func checkChosen(secret string) error {
	if len(secret) < MinChosen {
		return errorText("want at least 8 characters (openssl rand -hex 32 makes such a secret)")
	}
	return checkText(secret)
}

func checkStripe(secret string) error {
	if !strings.HasPrefix(secret, "whsec_") {
		return errorText("want the signing secret of the endpoint, which begins with whsec_")
	}
	return checkText(secret)
}

func checkSlack(secret string) error {
	if strings.HasPrefix(secret, "xox") || strings.HasPrefix(secret, "xapp-") {
		return errorText("this is a token: want the signing secret of the app (Basic Information)")
	}
	return checkText(secret)
}

func checkDiscord(secret string) error {
	if len(secret) != 64 || strings.ContainsFunc(secret, notHex) {
		return errorText("want the public key of the application: 64 hexadecimal digits")
	}
	return nil
}

func notHex(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF", r) }
