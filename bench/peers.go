package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"pillarbox/internal/benchmark"
)

// packages are what apt-get knows of the peers and of what they are built with.
var packages = []string{"nginx-light", "redis-server", "postgresql-15", "rabbitmq-server", "gcc",
	"libc6-dev"}

// install gets the peers. Debian starts some of them as services at once, which nobody asked for
// here.
func install(ctx context.Context) error {
	if os.Getuid() != 0 {
		return fmt.Errorf("this needs root: sudo apt-get install --no-install-recommends %s",
			strings.Join(packages, " "))
	}
	for _, args := range [][]string{{"update"},
		append([]string{"install", "-y", "--no-install-recommends"}, packages...)} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1") // this level starts no services
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("apt-get %s: %w", args[0], err)
		}
	}
	fmt.Fprintln(os.Stderr, "If the packages have started services, stop them before a run: systemctl disable --now nginx redis-server postgresql rabbitmq-server")
	return nil
}

// listedPeer is a line of "peers list".
type listedPeer struct {
	Name    string          `json:"name"`
	Class   benchmark.Class `json:"class"`
	Means   string          `json:"means"`
	Path    string          `json:"path"`
	Missing string          `json:"missing"`
}

// buildPeers builds the module of the peers and makes contenders of those whose name holds a text,
// or of all.
func buildPeers(ctx context.Context, dir, which string) ([]benchmark.Contender, error) {
	program := filepath.Join(dir, "peers")
	fmt.Fprintln(os.Stderr, "building the peers; the first time takes some minutes")
	// With cgo where there is a compiler, for the driver of SQLite.
	if err := build(ctx, "GOFLAGS=-mod=readonly", "build", "-C", "bench/peers", "-o", program,
		"."); err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, program, "list").Output()
	if err != nil {
		return nil, fmt.Errorf("peers list: %w", err)
	}
	var listed []listedPeer
	if err := json.Unmarshal(out, &listed); err != nil {
		return nil, fmt.Errorf("peers list: %w", err)
	}
	var contenders []benchmark.Contender
	for _, peer := range listed {
		if which != "all" && !strings.Contains(strings.ToLower(peer.Name), strings.ToLower(which)) {
			continue
		}
		if peer.Missing != "" {
			fmt.Fprintf(os.Stderr, "%s is left out: %s\n", peer.Name, peer.Missing)
		}
		contenders = append(contenders, benchmark.Contender{
			Name: peer.Name, Class: peer.Class, Means: peer.Means, Missing: peer.Missing, Peer: true, Start: startPeer(program, peer),
		})
	}
	return contenders, nil
}

func startPeer(program string, peer listedPeer) func(context.Context,
	string) (*benchmark.Running, error) {
	return func(ctx context.Context, dir string) (*benchmark.Running, error) {
		address, err := benchmark.FreeAddress()
		if err != nil {
			return nil, err
		}
		running, err := benchmark.Launch(ctx, address, program, "run", peer.Name, address, dir)
		if err == nil && peer.Path != "" {
			running.Path = peer.Path
		}
		return running, err
	}
}
