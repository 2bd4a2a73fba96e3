package adminclient_test

import (
	"context"
	"fmt"
	"net/http"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/adminclient"
	"pillarbox/internal/node/nodetest"
)

// The client of a server, and of a handler in this process, are one: errors have the kinds of the
// root package.
func ExampleNew() {
	handler := adminapi.New(nodetest.Broken{Err: pillarbox.ErrUnavailable}, adminapi.Options{})
	defer handler.Close()
	client, err := adminclient.New("http://localhost:8081",
		adminclient.Options{HTTP: adminclient.InProcess(handler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(client.Healthy(context.Background()))
	_, err = client.Ledger(context.Background())
	fmt.Println(err)
	// Output:
	// <nil>
	// unavailable
}

var _ http.Handler = (*adminapi.Handler)(nil)
