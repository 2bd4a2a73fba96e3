package dynamodb_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync/atomic"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

type spy struct {
	net.Conn
	stack atomic.Value
}

func (s *spy) Close() error {
	s.stack.Store(string(debug.Stack()))
	return s.Conn.Close()
}

func (s *spy) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	if err != nil {
		if st, ok := s.stack.Load().(string); ok {
			fmt.Fprintf(os.Stderr, "READ %d %v after close by:\n%s\n", n, err, st)
		}
	}
	return n, err
}

func spyClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &spy{Conn: c}, nil
		}
	})
}
