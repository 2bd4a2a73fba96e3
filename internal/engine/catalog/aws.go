package catalog

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	transport "github.com/aws/aws-sdk-go-v2/aws/transport/http"
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

// parseAWS reads what stands behind a scheme, and refuses parameters that are not among those
// allowed.
func parseAWS(key, rest string, allowed ...string) (awsURL, error) {
	parsed, err := url.Parse(rest)
	if err != nil || parsed.Host == "" {
		return awsURL{}, pillarbox.Invalid("%s: want //, a name and what follows it behind the scheme",
			key)
	}
	at := awsURL{key: key, host: parsed.Host, path: strings.Trim(parsed.Path, "/"),
		parameters: parsed.Query()}
	for name := range at.parameters {
		if !slices.Contains(allowed, name) {
			return awsURL{}, pillarbox.Invalid("%s: there is no parameter %q; possible are %s", key, name,
				strings.Join(allowed, ", "))
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
		return 0, pillarbox.Invalid("%s: the parameter %s is %q; want a number above zero", u.key, name,
			u.parameters.Get(name))
	}
	return n, nil
}

// maxLinger bounds how long a client waits only so that a message has company.
const maxLinger = time.Second

// linger returns how long messages wait for others: 0 is the engine's default, and below 0 is not
// at all.
func (u awsURL) linger() (time.Duration, error) {
	if !u.parameters.Has("linger") {
		return 0, nil
	}
	linger, err := time.ParseDuration(u.parameters.Get("linger"))
	if err != nil || linger < 0 || linger > maxLinger {
		return 0, pillarbox.Invalid("%s: the parameter linger is %q; want a time of at most %s, such as 5ms, or 0 for none", u.key, u.parameters.Get("linger"), maxLinger)
	}
	if linger == 0 {
		return -1, nil
	}
	return linger, nil
}

// requestTimeout bounds one request to AWS: more than the longest poll, and enough for the largest
// body.
const requestTimeout = 60 * time.Second

// uploadTimeout is the same where files of 128 MiB are sent or read in one request.
const uploadTimeout = 5 * time.Minute

// awsConfig finds credentials, and what else the SDK takes from its files and from the environment
// (AWS_PROFILE, AWS_ENDPOINT_URL and many more). It makes no request. An empty region is the SDK's
// choice.
func awsConfig(key, region string, timeout time.Duration) (aws.Config, error) {
	options := []func(*config.LoadOptions) error{
		config.WithHTTPClient(transport.NewBuildableClient().WithTimeout(timeout))}
	if region != "" {
		options = append(options, config.WithRegion(region))
	}
	found, err := config.LoadDefaultConfig(context.Background(), options...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("%s: the configuration of the AWS SDK: %w", key, err)
	}
	if found.Region == "" {
		return aws.Config{}, pillarbox.Invalid(
			"%s: no AWS region is known; set AWS_REGION, or write ?region= into the URL", key)
	}
	found.HTTPClient = awshttp.Whole(found.HTTPClient)
	return found, nil
}

// sqsHost takes the region out of the host of a queue's URL.
var sqsHost = regexp.MustCompile(`^sqs\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?$`)

// sqsURL is the URL of a queue: "//sqs.REGION.amazonaws.com/ACCOUNT/NAME?linger=5ms", or the whole
// URL of one anywhere.
type sqsURL struct {
	region   string // empty for the SDK's choice
	endpoint string // of a host that is not Amazon's, else empty
	queue    string
	linger   time.Duration // as in sqs.Options
}

func parseSQS(key, rest string) (sqsURL, error) {
	scheme := "https"
	if before, after, whole := strings.Cut(rest, "://"); whole {
		scheme, rest = before, "//"+after
	}
	at, err := parseAWS(key, rest, "region", "linger")
	if err != nil {
		return sqsURL{}, err
	}
	if !strings.Contains(at.path, "/") || scheme != "https" && scheme != "http" {
		return sqsURL{}, pillarbox.Invalid(
			"%s: want sqs://sqs.REGION.amazonaws.com/ACCOUNT/NAME, or sqs: and the whole URL of the queue", key)
	}
	linger, err := at.linger()
	if err != nil {
		return sqsURL{}, err
	}
	parsed := sqsURL{region: at.parameters.Get("region"),
		queue: scheme + "://" + at.host + "/" + at.path, linger: linger}
	if found := sqsHost.FindStringSubmatch(at.host); found != nil {
		parsed.region = found[1]
	} else {
		parsed.endpoint = scheme + "://" + at.host
	}
	return parsed, nil
}

func openSQS(place Place, rest string, options QueueOptions) (pillarbox.Queue, error) {
	at, err := parseSQS("queue.url", rest)
	if err != nil {
		return nil, err
	}
	cfg, err := awsConfig("queue.url", at.region, requestTimeout)
	if err != nil {
		return nil, err
	}
	client := awssqs.NewFromConfig(cfg, func(o *awssqs.Options) {
		if at.endpoint != "" && o.BaseEndpoint == nil {
			o.BaseEndpoint = &at.endpoint
		}
	})
	bodies, err := openBodies(place)
	if err != nil {
		return nil, err
	}
	return opened[pillarbox.Queue](sqs.Open(client, at.queue, sqs.Options{
		Bodies: bodies, MaxAge: options.MaxAge, Linger: at.linger, Logger: place.Logger,
	}))
}

// dynamoURL is the URL of a table: "//REGION/TABLE?index=NAME&shards=N".
type dynamoURL struct {
	region, table, index string
	shards               int
}

func parseDynamoDB(key, rest string) (dynamoURL, error) {
	at, err := parseAWS(key, rest, "index", "shards")
	if err != nil {
		return dynamoURL{}, err
	}
	if at.path == "" || strings.Contains(at.path, "/") {
		return dynamoURL{}, pillarbox.Invalid("%s: want dynamodb://REGION/TABLE", key)
	}
	shards, err := at.number("shards", dynamodb.DefaultShards)
	return dynamoURL{region: at.host, table: at.path, index: at.parameters.Get("index"),
		shards: shards}, err
}

func openDynamoDB(ctx context.Context, place Place, name, rest string) (pillarbox.Sink, error) {
	key := sinkKey(name)
	at, err := parseDynamoDB(key, rest)
	if err != nil {
		return nil, err
	}
	cfg, err := awsConfig(key, at.region, requestTimeout)
	if err != nil {
		return nil, err
	}
	bodies, err := openBodies(place)
	if err != nil {
		return nil, err
	}
	return opened[pillarbox.Sink](dynamodb.Open(ctx, awsdynamodb.NewFromConfig(cfg), at.table,
		dynamodb.Options{
			Index: at.index, Shards: at.shards, Bodies: bodies, Logger: place.Logger,
		}))
}

// parseKeys reads "//REGION/TABLE".
func parseKeys(rest string) (dynamoURL, error) {
	at, err := parseAWS(keysKey, rest)
	if err == nil && (at.path == "" || strings.Contains(at.path, "/")) {
		err = pillarbox.Invalid("%s: want dynamodb://REGION/TABLE", keysKey)
	}
	return dynamoURL{region: at.host, table: at.path}, err
}

func openKeys(rest string, window time.Duration) (KeyStore, error) {
	at, err := parseKeys(rest)
	if err != nil {
		return nil, err
	}
	cfg, err := awsConfig(keysKey, at.region, requestTimeout)
	if err != nil {
		return nil, err
	}
	return opened[KeyStore](dynamodb.OpenKeys(awsdynamodb.NewFromConfig(cfg), at.table, dynamodb.KeysOptions{Window: window}))
}

// parseLetters reads "//BUCKET/PREFIX?kms_key=ARN", and what a store needs that is not Amazon's.
func parseLetters(key, rest string) (awsURL, error) {
	return parseAWS(key, rest, append(s3Parameters, "kms_key")...)
}

func openS3(_ Place, rest string) (pillarbox.DeadLetters, error) {
	at, err := parseLetters("dead_letters.url", rest)
	if err != nil {
		return nil, err
	}
	client, err := at.s3(requestTimeout)
	if err != nil {
		return nil, err
	}
	return opened[pillarbox.DeadLetters](
		s3.Open(client, at.host, at.path, s3.Options{KMSKey: at.parameters.Get("kms_key")}))
}

// s3Parameters are what the client of S3 can be told in a URL.
var s3Parameters = []string{"region", "path_style"}

func (u awsURL) s3(timeout time.Duration) (*awss3.Client, error) {
	cfg, err := awsConfig(u.key, u.parameters.Get("region"), timeout)
	if err != nil {
		return nil, err
	}
	return awss3.NewFromConfig(cfg, func(o *awss3.Options) {
		o.UsePathStyle = u.parameters.Get("path_style") == "true"
	}), nil
}

// parseBodies reads "s3://BUCKET/PREFIX".
func parseBodies(url string) (awsURL, error) {
	const key = "bodies.url"
	rest, found := strings.CutPrefix(url, "s3:")
	if !found {
		return awsURL{}, pillarbox.Invalid("%s: %q names no engine of this build; possible here: s3", key,
			url)
	}
	return parseAWS(key, rest, s3Parameters...)
}

// openBodies opens the place for large bodies, and returns nil where none is configured.
func openBodies(place Place) (pillarbox.Bodies, error) {
	if place.BodiesURL == "" {
		return nil, nil
	}
	at, err := parseBodies(place.BodiesURL)
	if err != nil {
		return nil, err
	}
	client, err := at.s3(requestTimeout)
	if err != nil {
		return nil, err
	}
	return s3.NewBodies(client, at.host, at.path), nil
}

// CheckBodies is CheckQueue for the place of large bodies. An empty URL is none.
func CheckBodies(url string) error {
	if url == "" {
		return nil
	}
	_, err := parseBodies(url)
	return err
}
