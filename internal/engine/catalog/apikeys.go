package catalog

import (
	"strings"

	"pillarbox"
	"pillarbox/internal/apikey"
	"pillarbox/internal/engine/s3"
)

// apiKeysKey is the key of the URL.
const apiKeysKey = "api_keys.url"

// parseAPIKeys reads "s3://BUCKET/OBJECT?region=REGION".
func parseAPIKeys(url string) (awsURL, error) {
	rest, found := strings.CutPrefix(url, "s3:")
	if !found {
		return awsURL{}, pillarbox.Invalid("%s: %q names no engine of this build; possible here: s3", apiKeysKey, url)
	}
	at, err := parseAWS(apiKeysKey, rest, s3Parameters...)
	if err == nil && at.path == "" {
		err = pillarbox.Invalid("%s: want s3://BUCKET/OBJECT, as s3://bucket/api-keys.json", apiKeysKey)
	}
	return at, err
}

// CheckAPIKeys is CheckQueue for the place of shared API keys. An empty URL is the data directory.
func CheckAPIKeys(url string) error {
	if url == "" {
		return nil
	}
	_, err := parseAPIKeys(url)
	return err
}

// OpenAPIKeys opens the place of shared API keys. It makes no call.
func OpenAPIKeys(url string) (apikey.File, error) {
	at, err := parseAPIKeys(url)
	if err != nil {
		return nil, err
	}
	client, err := at.s3(requestTimeout)
	if err != nil {
		return nil, err
	}
	return opened[apikey.File](s3.NewFile(client, at.host, at.path, apikey.MaxFileBytes))
}
