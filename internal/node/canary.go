package node

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"time"

	"pillarbox"
	"pillarbox/internal/canary"
	"pillarbox/internal/run"
	"pillarbox/internal/source"
)

// CanaryOptions are those of the canary that a node sends itself. The zero value sends none.
type CanaryOptions struct {
	Every   time.Duration // 0: none is sent
	Timeout time.Duration // default canary.DefaultTimeout
	// URL is the address of the public door as clients have it, without the path of a source; empty
	// for the node's own listener.
	URL    string
	Secret string // that nodes share; empty for one of this process
}

// newCanary makes the canary, which does nothing before the node serves. The clock may not be
// there.
func (n *Node) newCanary() {
	options := n.opts.Canary
	if options.Every <= 0 || n.clock == nil || n.queue == nil {
		return
	}
	n.canaryKey = source.NewCanaryKey(options.Secret, n.clock.Now)
	n.canary = canary.NewSchedule(canary.ScheduleOptions{
		Every: options.Every, Timeout: options.Timeout, Post: n.postCanary,
		Destinations: n.canaryTo, Shared: n.queue.Traits().Shared, Now: n.clock.Now,
		Logger: n.logger, Metrics: n.opts.Metrics.Canary(),
	})
}

// canaryTo are the destinations, and which of them are sent a canary.
func (n *Node) canaryTo() (all []canary.To) {
	wired := n.wired.Load()
	for _, d := range wired.table.All() {
		sent := d.SendsCanary(wired.sinks[d.Name].Traits())
		all = append(all, canary.To{Name: d.Name, Sent: sent})
	}
	return all
}

// addCanary begins to send it, once the public listeners accept.
func (s *server) addCanary(group *run.Group) error {
	if s.canary == nil {
		return nil
	}
	door := s.door()
	if door == nil {
		s.logger.Warn("no canary is sent: there is no public listener to post to; set canary.url")
		return nil
	}
	s.canaryDoor.Store(door)
	group.Add(run.Service{Name: "canary", Run: s.canary.Run})
	return nil
}

// door is where the canary posts to; nil where there is nothing.
func (s *server) door() *canary.Door {
	door := &canary.Door{Sign: s.canaryKey.Sign, SignatureHeader: source.CanarySignature}
	// Each canary has a connection of its own, as a new client has.
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	door.Client = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if s.opts.Canary.URL != "" {
		door.URL = strings.TrimSuffix(s.opts.Canary.URL, "/") + source.CanaryPath
		return door
	}
	for _, front := range s.Public {
		if front.Proxy {
			continue // it takes connections of proxies alone
		}
		transport.Proxy = nil
		address := front.Addr()
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, address.Network(), DialAddress(address))
		}
		// The certificate is for the name that clients know, which may be nowhere to be looked up
		// here. It is this process that answers, and what is sent is no secret.
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
		door.URL = scheme(front.TLS) + "localhost" + source.CanaryPath
		return door
	}
	return nil
}

// DialAddress is what connects to a listener of this process.
func DialAddress(address net.Addr) string {
	if address.Network() == "unix" {
		return address.String()
	}
	return DisplayAddress(address.String())
}

func (n *Node) postCanary(ctx context.Context) (pillarbox.Receipt, error) {
	return n.canaryDoor.Load().Post(ctx)
}
