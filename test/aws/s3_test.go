package aws_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

const (
	accessKey = "test-access-key"
	secretKey = "test-secret-key"
	region    = "us-east-1"
)

// gateway is the S3 server of this process: a real one, over TLS, because the SDK writes bodies in
// another way there.
type gateway struct {
	url    string
	caFile string
	client *awss3.Client
}

// moto is the URL of a server that others wrote, for S3, SQS and DynamoDB in the place of the
// gateway and the stand-ins. test/emulators/second starts one. What needs a clock that is moved or a
// fault is skipped then.
var moto = os.Getenv("PILLARBOX_TEST_MOTO_URL")

// needsStandIns skips a test that moves a clock or makes faults.
func needsStandIns(t *testing.T) {
	t.Helper()
	if moto != "" {
		t.Skip("moto has no clock that can be moved, and no faults")
	}
}

// server is started by TestMain; there can be one in a process.
var server gateway

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if moto != "" {
		server.useMoto()
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "pillarbox-s3-")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	stop, err := server.start(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "start the S3 gateway:", err)
		return 1
	}
	defer stop()
	return m.Run()
}

// start runs the gateway in dir. The gateway makes its directory the working directory of the
// process, and relies on that: tests use absolute paths.
func (g *gateway) start(dir string) (stop func(), err error) {
	for _, name := range []string{"buckets", "attributes"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			return nil, err
		}
	}
	certFile, keyFile, transport, err := certificate(dir)
	if err != nil {
		return nil, err
	}
	attributes, err := meta.NewSideCar(filepath.Join(dir, "attributes"))
	if err != nil {
		return nil, err
	}
	backend, err := posix.New(filepath.Join(dir, "buckets"), attributes,
		posix.PosixOpts{SideCarDir: filepath.Join(dir, "attributes")})
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- embedgw.RunVersityGW(ctx, backend, &embedgw.Config{
			RootUserAccess: accessKey, RootUserSecret: secretKey, Region: region, Ports: []string{addr},
			CertFile: certFile, KeyFile: keyFile, MaxConnections: 1000, MaxRequests: 1000, MultipartMaxParts: 100,
			KeepAlive: true, Quiet: true,
		})
	}()
	g.url, g.caFile = "https://"+addr, certFile
	g.client = newClient(g.url, transport)
	stop = func() { cancel(); <-ended }
	return stop, g.wait(ended)
}

func (g *gateway) useMoto() { g.url, g.client = moto, newClient(moto, &http.Transport{}) }

func newClient(url string, transport *http.Transport) *awss3.Client {
	return awss3.New(awss3.Options{
		Region: region, BaseEndpoint: &url, UsePathStyle: true,
		HTTPClient:                 &http.Client{Transport: transport},
		Credentials:                credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
	})
}

// wait returns when the gateway answers.
func (g *gateway) wait(ended <-chan error) error {
	for deadline := time.Now().Add(20 * time.Second); ; {
		_, err := g.client.ListBuckets(context.Background(), &awss3.ListBucketsInput{})
		if err == nil {
			return nil
		}
		select {
		case err := <-ended:
			return fmt.Errorf("it ended: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return err
		}
	}
}

// certificate makes one for the loopback address.
func certificate(dir string) (certFile, keyFile string, transport *http.Transport, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"}, IPAddresses: []net.IP{
			net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(
			24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return "", "", nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", nil, err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := os.WriteFile(certFile, certPEM, 0o600); err != nil {
		return "", "", nil, err
	}
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(
		&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600); err != nil {
		return "", "", nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	return certFile, keyFile, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots},
		MaxIdleConnsPerHost: 64, ExpectContinueTimeout: time.Second}, nil
}

var buckets atomic.Int64

// newBucket makes an empty bucket.
func newBucket(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("pillarbox-%d-%d", os.Getpid(), buckets.Add(1))
	if _, err := server.client.CreateBucket(t.Context(),
		&awss3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
	return name
}

func gatewayClient() *awss3.Client { return server.client }
