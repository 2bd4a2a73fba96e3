package webhook_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/webhook"
)

// addresses are those that lead to machines of one's own network, or nowhere, in every form that has
// been used to get around a rule; and some that don't.
var addresses = map[string]bool{ // whether it is public
	"127.0.0.1": false, "127.255.255.254": false, "0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "10.255.255.255": false,
	"172.16.0.1": false, "172.31.255.255": false, "192.168.0.1": false, "169.254.169.254": false, "169.254.170.2": false,
	"100.64.0.1": false, "100.100.100.200": false, "100.127.255.255": false, "192.0.0.192": false, "192.0.2.1": false,
	"198.18.0.1": false, "198.19.255.255": false, "198.51.100.1": false, "203.0.113.1": false, "192.88.99.1": false,
	"224.0.0.1": false, "239.255.255.255": false, "240.0.0.1": false, "255.255.255.255": false, "168.63.129.16": false,
	"::": false, "::1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::ffff:169.254.169.254": false,
	"::ffff:8.8.8.8": true, "::127.0.0.1": false, "::8.8.8.8": false, "::ffff:0:8.8.8.8": false,
	"64:ff9b::127.0.0.1": false, "64:ff9b::10.0.0.1": false, "64:ff9b::169.254.169.254": false, "64:ff9b::8.8.8.8": true,
	"64:ff9b:1::8.8.8.8": false, "2002:7f00:1::": false, "2002:808:808::1": false, "2001::1": false, "2001:0:4136:e378::1": false,
	"2001:db8::1": false, "3fff::1": false, "fc00::1": false, "fd00:ec2::254": false, "fd20:ce::254": false, "fdff::1": false,
	"fe80::1": false, "fe80::1%eth0": false, "2a00:1450:4001::1%eth0": false, "fec0::1": false, "febf::1": false, "ff02::1": false,
	"ff0e::1": false, "100::1": false, "5f00::1": false, "4000::1": false, "8000::1": false,
	"8.8.8.8": true, "1.1.1.1": true, "9.255.255.255": true, "11.0.0.0": true, "100.63.255.255": true, "100.128.0.0": true,
	"126.255.255.255": true, "128.0.0.0": true, "172.15.255.255": true, "172.32.0.0": true, "192.167.255.255": true,
	"192.169.0.0": true, "169.253.255.255": true, "169.255.0.0": true, "223.255.255.255": true, "168.63.129.15": true,
	"2606:4700:4700::1111": true, "2a00:1450:4001::1": true, "2001:4860:4860::8888": true, "2001:200::1": true, "2003::1": true,
}

func TestWhichAddressesArePublic(t *testing.T) {
	for text, want := range addresses {
		if got := webhook.IsPublic(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: public %v, want %v", text, got, want)
		}
	}
	if webhook.IsPublic(netip.Addr{}) {
		t.Error("no address is public")
	}
}

// TestPrivateHostsAreRefusedByTheConfiguration, before anything is sent.
func TestPrivateHostsAreRefusedByTheConfiguration(t *testing.T) {
	for text, public := range addresses {
		host := text
		if strings.Contains(text, ":") {
			host = "[" + strings.ReplaceAll(text, "%", "%25") + "]"
		}
		_, err := webhook.Open("https://"+host+":8443/in", webhook.Options{})
		if (err == nil) != public || err != nil && !strings.Contains(err.Error(), "allow_private: true") {
			t.Errorf("%s: %v", host, err)
		}
	}
	for _, host := range []string{"localhost", "LocalHost.", "a.localhost", "127.0.0.1.", "127.0.0.1"} {
		if _, err := webhook.Open("http://"+host+"/", webhook.Options{}); !errors.Is(err, pillarbox.ErrInvalid) {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// TestNamesThatLeadToPrivateAddressesAreRefused when they are connected to, also with IPv6, and where
// the request for a token goes, or a proxy is.
func TestNamesThatLeadToPrivateAddressesAreRefused(t *testing.T) {
	r := receive(t, nil)
	port := r.URL[strings.LastIndex(r.URL, ":"):]
	for name, opts := range map[string]webhook.Options{
		"of the receiver":         {},
		"of the server of tokens": {OAuth2: webhook.OAuth2{TokenURL: "https://tokens.example" + port + "/", ClientID: "id", ClientSecret: "secret"}},
		"of the proxy":            {Proxy: webhook.Proxy{URL: "http://proxy.example" + port}},
		"of the proxy of TCP":     {Proxy: webhook.Proxy{URL: "socks5://proxy.example" + port}},
	} {
		scheme := "http://"
		if opts.OAuth2.TokenURL != "" {
			scheme = "https://"
		}
		sink, err := webhook.Open(scheme+"hook.example"+port+"/", opts)
		if err != nil {
			t.Fatal(err)
		}
		for _, answer := range []string{"127.0.0.1", "::1", "::ffff:127.0.0.1"} {
			webhook.ResolveWith(sink, resolveTo(t, answer))
			err := sink.Write(t.Context(), enginetest.Events(3, 91))
			if kind(err) != "outage" || !strings.Contains(err.Error(), "is not public") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := sink.Close(); err != nil {
			t.Error(err)
		}
	}
	if r.count() > 0 {
		t.Errorf("%d requests came through", r.count())
	}
	allowed := open(t, "http://hook.example"+port+"/", webhook.Options{})
	webhook.ResolveWith(allowed, resolveTo(t, "127.0.0.1"))
	if err := allowed.Write(t.Context(), enginetest.Events(3, 91)); err != nil {
		t.Errorf("it is allowed: %v", err)
	}
}

// TestTheEnvironmentNamesNoProxy: only the configuration does.
func TestTheEnvironmentNamesNoProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	r := receive(t, nil)
	sink := open(t, strings.Replace(r.URL, "127.0.0.1", "hook.example", 1), webhook.Options{})
	webhook.ResolveWith(sink, resolveTo(t, "127.0.0.1"))
	if err := sink.Write(t.Context(), enginetest.Events(3, 93)); err != nil {
		t.Error(err)
	}
	proxy := receive(t, nil)
	through := open(t, "http://hook.example/in", webhook.Options{Proxy: webhook.Proxy{URL: proxy.URL, User: "me", Password: "p w"}})
	if err := through.Write(t.Context(), enginetest.Events(1, 94)); err != nil {
		t.Fatal(err)
	}
	request, _ := proxy.last()
	if user, password, ok := basicAuth(request.Header.Get("Proxy-Authorization")); request.RequestURI != "http://hook.example/in" || !ok || user != "me" || password != "p w" {
		t.Errorf("the proxy got %s and %q %q", request.RequestURI, user, password)
	}
}

func basicAuth(header string) (user, password string, ok bool) {
	return (&http.Request{Header: http.Header{"Authorization": {header}}}).BasicAuth()
}

// resolveTo is a resolver whose server of names gives one address for every name.
func resolveTo(t *testing.T, answer string) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	addr := netip.MustParseAddr(answer)
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := server.ReadFrom(buffer)
			if err != nil {
				return
			}
			var query dnsmessage.Message
			if query.Unpack(buffer[:n]) != nil {
				continue
			}
			question := query.Questions[0]
			reply := dnsmessage.Message{Questions: query.Questions,
				Header: dnsmessage.Header{ID: query.ID, Response: true, RecursionAvailable: true}}
			resource := dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET}}
			switch {
			case question.Type == dnsmessage.TypeA && addr.Is4():
				resource.Body = &dnsmessage.AResource{A: addr.As4()}
			case question.Type == dnsmessage.TypeAAAA && addr.Is6():
				resource.Body = &dnsmessage.AAAAResource{AAAA: addr.As16()}
			}
			if resource.Body != nil {
				reply.Answers = []dnsmessage.Resource{resource}
			}
			packed, err := reply.Pack()
			if err == nil {
				_, _ = server.WriteTo(packed, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}
