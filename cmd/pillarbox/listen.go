package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/coreos/go-systemd/v22/activation"

	"pillarbox/internal/config"
	"pillarbox/internal/node"
	"pillarbox/internal/proxy"
)

// listenPublic binds every address of the public listener.
func (s *server) listenPublic() error {
	cfg := s.config
	for _, address := range cfg.Listen.Address {
		listeners, err := listenAt(address, fs.FileMode(cfg.Listen.SocketMode))
		if err != nil {
			return err
		}
		for _, listener := range listeners {
			s.serving.Public = append(s.serving.Public, node.Front{
				Listener: listener,
				TLS:      cfg.TLS.On() && listener.Addr().Network() != "unix",
				Proxy:    slices.Contains(cfg.Listen.ProxyProtocol, address),
			})
		}
	}
	if s.certificates.acme != nil {
		for _, front := range s.serving.Public {
			if front.TLS {
				s.certificates.acme.Serve(front.Addr())
				break
			}
		}
	}
	return nil
}

func listenAt(address string, mode fs.FileMode) ([]net.Listener, error) {
	if name, found := strings.CutPrefix(address, config.SystemdScheme); found {
		return activated(name)
	}
	listener, err := listen("listen", address, mode)
	if err != nil {
		return nil, err
	}
	return []net.Listener{listener}, nil
}

// fromSystemd are the listeners that systemd has opened for this process, by name. They can be had
// once.
var fromSystemd = sync.OnceValues(func() (map[string][]net.Listener, error) {
	return activation.ListenersWithNames()
})

// activated takes the listeners that systemd has opened under a name.
func activated(name string) ([]net.Listener, error) {
	named, err := fromSystemd()
	if err != nil {
		return nil, fmt.Errorf("take the listeners of systemd: %w", err)
	}
	listeners := slices.DeleteFunc(slices.Clone(named[name]), func(l net.Listener) bool { return l == nil })
	if len(listeners) > 0 {
		delete(named, name)
		return listeners, nil
	}
	if len(named) == 0 {
		return nil, fmt.Errorf("listen: systemd has opened no socket for this process, and %s%s waits for one; start it by a socket unit with FileDescriptorName=%s (deploy/systemd has one)", config.SystemdScheme, name, name)
	}
	var names []string
	for other := range named {
		names = append(names, other)
	}
	slices.Sort(names)
	return nil, fmt.Errorf("listen: systemd has opened no stream socket under the name %s, but under %s; set FileDescriptorName=%s in the socket unit", name, strings.Join(names, ", "), name)
}

// trustedOf are the proxies that are believed.
func trustedOf(cfg *config.Config) *proxy.Trusted {
	networks := slices.DeleteFunc(slices.Clone(cfg.TrustedProxies),
		func(item string) bool { return item == config.Unix })
	return proxy.NewTrusted(config.Prefixes(networks), slices.Contains(cfg.TrustedProxies, config.Unix),
		cfg.ForwardedHeader)
}

// firstAddress is the address of the public listener that a client on this machine takes: the first
// one that is no listener of systemd, whose address is not known here.
func firstAddress(cfg *config.Config) (string, error) {
	for _, address := range cfg.Listen.Address {
		if !strings.HasPrefix(address, config.SystemdScheme) {
			return address, nil
		}
	}
	return "", errors.New("the addresses of listen are systemd's; name a URL")
}
