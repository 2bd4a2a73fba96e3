package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	transport "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"pillarbox/internal/awshttp"
	"pillarbox/internal/xray"
)

// The bounds of one call to AWS. The deadline of the invocation bounds all of them together.
const (
	callTries   = 3
	callTimeout = 8 * time.Second // of one try
	callBackoff = 2 * time.Second // the longest wait between two tries
)

// awsSettings is what Lambda sets for every function, and the endpoints of stand-ins.
type awsSettings struct {
	region          string
	keyID, key      string
	session         string
	endpoints       map[string]string // by service; empty for AWS's own
	defaultEndpoint string
	daemon          string // of X-Ray; empty for none
}

// services are the ones whose endpoint can be another, by the end of the variable's name.
var services = []string{"SQS", "DYNAMODB", "S3", "SECRETS_MANAGER"}

func readAWS(lookup func(string) (string, bool)) (awsSettings, error) {
	get := func(name string) string {
		text, _ := lookup(name)
		return text
	}
	s := awsSettings{
		daemon: get("AWS_XRAY_DAEMON_ADDRESS"),
		region: cmp.Or(get("AWS_REGION"),
			get("AWS_DEFAULT_REGION")), keyID: get("AWS_ACCESS_KEY_ID"), key: get("AWS_SECRET_ACCESS_KEY"),
		session: get("AWS_SESSION_TOKEN"), endpoints: map[string]string{}, defaultEndpoint: get(
			"AWS_ENDPOINT_URL"),
	}
	for _, service := range services {
		s.endpoints[service] = get("AWS_ENDPOINT_URL_" + service)
	}
	var problems []error
	for name, text := range map[string]string{"AWS_REGION": s.region, "AWS_ACCESS_KEY_ID": s.keyID,
		"AWS_SECRET_ACCESS_KEY": s.key} {
		if text == "" {
			problems = append(problems, fmt.Errorf(
				"%s is missing: Lambda sets it; set it where the function runs elsewhere", name))
		}
	}
	return s, errors.Join(problems...)
}

// config is made without the SDK's module for it, which knows many more ways to come by credentials
// than Lambda has, and takes longer to start. Lambda ends a process before its credentials do. Each
// call becomes a part of the trace, if there is a tracer.
func (s awsSettings) config(tracer *xray.Tracer) aws.Config {
	config := aws.Config{
		Region: s.region,
		Credentials: aws.NewCredentialsCache(
			credentials.NewStaticCredentialsProvider(s.keyID, s.key, s.session)),
		HTTPClient: awshttp.Whole(transport.NewBuildableClient().WithTimeout(
			callTimeout).WithTransportOptions(func(t *http.Transport) { t.MaxIdleConnsPerHost = 16 })),
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.MaxAttempts,
					o.MaxBackoff = callTries, callBackoff
			})
		},
	}
	tracer.Instrument(&config)
	return config
}

// endpoint returns the endpoint of a service where it is not AWS's own, else nil.
func (s awsSettings) endpoint(service string) *string {
	if endpoint := strings.TrimSuffix(cmp.Or(s.endpoints[service], s.defaultEndpoint),
		"/"); endpoint != "" {
		return &endpoint
	}
	return nil
}
