package catalog

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"pillarbox"
	"pillarbox/internal/awshttp"
	"pillarbox/internal/engine/dynamodb"
	"pillarbox/internal/engine/s3"
	"pillarbox/internal/engine/sqs"
)

// awsURL is the URL of something on AWS: "//host/path?parameters" behind its scheme.
type awsURL struct {
	key        string // of the configuration, for errors
	host, path string
	parameters url.Values
}

// parseAWS reads what stands behind a scheme, and refuses parameters that are not among those allowed.
func parseAWS(key, rest string, allowed ...string) (awsURL, error) {
	parsed, err := url.Parse(rest)
	if err != nil || parsed.Host == "" {
		return awsURL{}, fmt.Errorf("%s: want //, a name and what follows it behind the scheme: %w", key, pillarbox.ErrInvalid)
	}
	at := awsURL{key: key, host: parsed.Host, path: strings.Trim(parsed.Path, "/"), parameters: parsed.Query()}
	for name := range at.parameters {
		if !slices.Contains(allowed, name) {
			return awsURL{}, fmt.Errorf("%s: there is no parameter %q; possible are %s: %w", key, name, strings.Join(allowed, ", "), pillarbox.ErrInvalid)
		}
	}
	return at, nil
}

func (u awsURL) number(name string, missing int) (int, error) {
	if !u.parameters.Has(name) {
		return missing, nil
	}
	n, err := strconv.Atoi(u.parameters.Get(name))
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%s: the parameter %s is %q; want a number above zero: %w", u.key, name, u.parameters.Get(name), pillarbox.ErrInvalid)
	}
	return n, nil
}

// awsConfig finds credentials, and what else the SDK takes from its files and from the environment (AWS_PROFILE,
// AWS_ENDPOINT_URL and many more). It makes no request. An empty region is the SDK's choice.
func awsConfig(key, region string) (aws.Config, error) {
	var options []func(*config.LoadOptions) error
	if region != "" {
		options = append(options, config.WithRegion(region))
	}
	found, err := config.LoadDefaultConfig(context.Background(), options...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("%s: the configuration of the AWS SDK: %w", key, err)
	}
	if found.Region == "" {
		return aws.Config{}, fmt.Errorf("%s: no AWS region is known; set AWS_REGION, or write ?region= into the URL: %w", key, pillarbox.ErrInvalid)
	}
	found.HTTPClient = awshttp.Whole(found.HTTPClient)
	return found, nil
}

// sqsHost takes the region out of the host of a queue's URL.
var sqsHost = regexp.MustCompile(`^sqs\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?$`)

// openSQS takes "//sqs.REGION.amazonaws.com/ACCOUNT/NAME", or the whole URL of a queue anywhere.
func openSQS(place Place, rest string, options QueueOptions) (pillarbox.Queue, error) {
	const key = "queue.url"
	scheme := "https"
	if before, after, whole := strings.Cut(rest, "://"); whole {
		scheme, rest = before, "//"+after
	}
	at, err := parseAWS(key, rest, "region")
	if err != nil {
		return nil, err
	}
	if !strings.Contains(at.path, "/") || scheme != "https" && scheme != "http" {
		return nil, fmt.Errorf("%s: want sqs://sqs.REGION.amazonaws.com/ACCOUNT/NAME, or sqs: and the whole URL of the queue: %w", key, pillarbox.ErrInvalid)
	}
	region := at.parameters.Get("region")
	found := sqsHost.FindStringSubmatch(at.host)
	if found != nil {
		region = found[1]
	}
	cfg, err := awsConfig(key, region)
	if err != nil {
		return nil, err
	}
	queueURL := scheme + "://" + at.host + "/" + at.path
	client := awssqs.NewFromConfig(cfg, func(o *awssqs.Options) {
		if found == nil && o.BaseEndpoint == nil {
			o.BaseEndpoint = aws.String(scheme + "://" + at.host)
		}
	})
	bodies, err := openBodies(place)
	if err != nil {
		return nil, err
	}
	return opened[pillarbox.Queue](sqs.Open(client, queueURL, sqs.Options{Bodies: bodies, MaxAge: options.MaxAge, Logger: place.Logger}))
}

// openDynamoDB takes "//REGION/TABLE?index=NAME&shards=N".
func openDynamoDB(ctx context.Context, place Place, name, rest string) (pillarbox.Sink, error) {
	at, err := parseAWS("destinations."+name+".url", rest, "index", "shards")
	if err != nil {
		return nil, err
	}
	if at.path == "" {
		return nil, fmt.Errorf("%s: want dynamodb://REGION/TABLE: %w", at.key, pillarbox.ErrInvalid)
	}
	shards, err := at.number("shards", dynamodb.DefaultShards)
	if err != nil {
		return nil, err
	}
	cfg, err := awsConfig(at.key, at.host)
	if err != nil {
		return nil, err
	}
	bodies, err := openBodies(place)
	if err != nil {
		return nil, err
	}
	return opened[pillarbox.Sink](dynamodb.Open(ctx, awsdynamodb.NewFromConfig(cfg), at.path, dynamodb.Options{
		Index: at.parameters.Get("index"), Shards: shards, Bodies: bodies, Logger: place.Logger,
	}))
}

// openS3 takes "//BUCKET/PREFIX?kms_key=ARN", and what a store needs that is not Amazon's.
func openS3(_ Place, rest string) (pillarbox.DeadLetters, error) {
	at, err := parseAWS("dead_letters.url", rest, append(s3Parameters, "kms_key")...)
	if err != nil {
		return nil, err
	}
	client, err := at.s3()
	if err != nil {
		return nil, err
	}
	return opened[pillarbox.DeadLetters](s3.Open(client, at.host, at.path, s3.Options{KMSKey: at.parameters.Get("kms_key")}))
}

// s3Parameters are what the client of S3 can be told in a URL.
var s3Parameters = []string{"region", "path_style"}

func (u awsURL) s3() (*awss3.Client, error) {
	cfg, err := awsConfig(u.key, u.parameters.Get("region"))
	if err != nil {
		return nil, err
	}
	return awss3.NewFromConfig(cfg, func(o *awss3.Options) { o.UsePathStyle = u.parameters.Get("path_style") == "true" }), nil
}

// openBodies opens the place for large bodies, and returns nil where none is configured.
func openBodies(place Place) (pillarbox.Bodies, error) {
	if place.BodiesURL == "" {
		return nil, nil
	}
	if err := CheckBodies(place.BodiesURL); err != nil {
		return nil, err
	}
	at, err := parseAWS("bodies.url", strings.TrimPrefix(place.BodiesURL, "s3:"), s3Parameters...)
	if err != nil {
		return nil, err
	}
	client, err := at.s3()
	if err != nil {
		return nil, err
	}
	return s3.NewBodies(client, at.host, at.path), nil
}

// CheckBodies is CheckQueue for the place of large bodies. An empty URL is none.
func CheckBodies(url string) error {
	if url != "" && !strings.HasPrefix(url, "s3:") {
		return fmt.Errorf("bodies.url: %q names no engine of this build; possible here: s3: %w", url, pillarbox.ErrInvalid)
	}
	return nil
}
