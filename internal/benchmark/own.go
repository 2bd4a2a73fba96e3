package benchmark

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"pillarbox/internal/torture"
)

// The contenders that the binary has in itself.
const (
	Bare       = "bare net/http"
	Front      = "own front, nothing stored"
	Accepting  = "pillarbox"
	Delivering = "pillarbox, delivering to SQLite"
	Plain      = "pillarbox on net/http"
	Encrypting = "pillarbox, encrypting what it stores"

	HoldingKeys = "pillarbox, holding ten million keys"

	BareTLS      = "bare net/http with TLS"
	AcceptingTLS = "pillarbox with TLS"
	PlainTLS     = "pillarbox with TLS on net/http"
)

// The names of the yardsticks on the command line: "bench contender NAME ADDRESS".
const (
	BareCommand  = "bare"
	FrontCommand = "front"

	BareTLSCommand = "bare-tls"
)

// withExpress stands in the example of the configuration of a binary that has an event loop, and
// withoutExpress turns it off. Without the key everything is on net/http.
const (
	withExpress    = "\n  express: true\n"
	withoutExpress = "listen: { express: false }\n"
)

// withEncryption stands in the example of the configuration of a binary that has encryption at rest.
const withEncryption = "\nencryption:\n"

// encrypting starts a server with a key of its own.
func encrypting(binary string) func(ctx context.Context, dir string) (*Running, error) {
	return func(ctx context.Context, dir string) (*Running, error) {
		key, err := exec.CommandContext(ctx, binary, "encryption", "new-key").Output()
		if err != nil {
			return nil, fmt.Errorf("make a key: %w", err)
		}
		name := filepath.Join(dir, "encryption.key")
		if err := os.WriteFile(name, key, 0o600); err != nil {
			return nil, err
		}
		return serve(binary, fmt.Sprintf("encryption: { key: %q }\n", "file:"+name), "--roles", "accept,admin")(ctx, dir)
	}
}

// Own returns the contenders of a binary: the yardsticks first, then pillarbox in its roles.
func Own(ctx context.Context, binary string) ([]Contender, error) {
	listed, err := exec.CommandContext(ctx, binary, "bench", "contender").Output()
	if err != nil {
		return nil, fmt.Errorf("ask %s for its contenders: %w", binary, err)
	}
	example, err := exec.CommandContext(ctx, binary, "config", "example").Output()
	if err != nil {
		return nil, fmt.Errorf("ask %s for its configuration: %w", binary, err)
	}
	const durable = "fdatasync of the log"
	contenders := []Contender{yardstick(binary, BareCommand, Bare)}
	if slices.Contains(strings.Fields(string(listed)), FrontCommand) {
		contenders = append(contenders, yardstick(binary, FrontCommand, Front))
	}
	contenders = append(contenders,
		Contender{Name: Accepting, Class: Durable, Means: durable, Batches: true, Doors: true,
			Start: withKeys(binary, doorSettings, "--roles", "accept,admin")},
		Contender{Name: Delivering, Class: Durable, Means: durable, Batches: true,
			Start: serve(binary, "")},
	)
	if strings.Contains(string(example), withEncryption) {
		contenders = append(contenders, Contender{Name: Encrypting, Class: Durable, Means: durable, Start: encrypting(binary)})
	}
	if strings.Contains(string(example), withExpress) {
		contenders = append(contenders, Contender{Name: Plain, Class: Durable, Means: durable,
			Start: serve(binary, withoutExpress, "--roles", "accept,admin")})
	}
	if slices.Contains(strings.Fields(string(listed)), BareTLSCommand) {
		contenders = append(contenders, overTLSOnly(binary)...)
	}
	return contenders, nil
}

// heldSettings remember all of HeldKeys, however many new ones come in the run.
const heldSettings = "idempotency: { max_keys: 20000000 }\n"

// Holding is a contender whose log has HeldKeys. fill puts them into a data directory that is empty;
// it is called once, and each turn goes on with the same directory, which lies in dir.
func Holding(binary, dir string, fill func(ctx context.Context, dir string) error) Contender {
	filled := ""
	return Contender{Name: HoldingKeys, Class: Durable, Means: "fdatasync of the log", Held: true,
		Start: func(ctx context.Context, _ string) (*Running, error) {
			if filled == "" {
				place := filepath.Join(dir, "keys")
				if err := errors.Join(os.Mkdir(place, 0o700), fill(ctx, filepath.Join(place, "data"))); err != nil {
					return nil, fmt.Errorf("make a log with %d keys: %w", HeldKeys, err)
				}
				filled = place
			}
			return serve(binary, heldSettings, "--roles", "accept,admin")(ctx, filled)
		}}
}

// overTLSOnly are the contenders that have TLS.
func overTLSOnly(binary string) []Contender {
	bare := yardstick(binary, BareTLSCommand, BareTLS)
	start := bare.Start
	bare.TLS, bare.Start = true, func(ctx context.Context, dir string) (*Running, error) {
		running, err := start(ctx, dir)
		if err == nil {
			running.TLS = ClientTLS()
		}
		return running, err
	}
	ours := func(name, more string) Contender {
		return Contender{Name: name, Class: Durable, Means: "fdatasync of the log", TLS: true,
			Start: func(ctx context.Context, dir string) (*Running, error) {
				settings, err := writeCertificate(dir)
				if err != nil {
					return nil, err
				}
				running, err := serve(binary, settings+more, "--roles", "accept,admin")(ctx, dir)
				if err == nil {
					running.TLS = ClientTLS()
				}
				return running, err
			}}
	}
	return []Contender{bare, ours(AcceptingTLS, ""), ours(PlainTLS, withoutExpress)}
}

// yardstick is a server in the binary that reads the body, answers as pillarbox does, and keeps
// nothing.
func yardstick(binary, command, name string) Contender {
	return Contender{Name: name, Class: Nothing, Means: "nothing",
		Start: func(ctx context.Context, _ string) (*Running, error) {
			address, err := FreeAddress()
			if err != nil {
				return nil, err
			}
			return Launch(ctx, address, binary, "bench", "contender", command, address)
		}}
}

// settings hold in every run: the limit of the queue is not what is measured.
const settings = "queue: { max_bytes: 1TiB }\n"

// WriteSettings writes the configuration of a run into a directory, and returns its name.
func WriteSettings(dir, more string) (string, error) {
	name := filepath.Join(dir, "pillarbox.yaml")
	return name, os.WriteFile(name, []byte(settings+more), 0o600)
}

// withKeys is serve with API keys of two senders.
func withKeys(binary, more string, args ...string) func(context.Context, string) (*Running, error) {
	start := serve(binary, more, args...)
	return func(ctx context.Context, dir string) (*Running, error) {
		running, err := start(ctx, dir)
		if err != nil {
			return nil, err
		}
		for i := range running.Keys {
			if running.Keys[i], err = createKey(ctx, binary, running.Admin); err != nil {
				return nil, errors.Join(err, running.Stop())
			}
		}
		return running, nil
	}
}

// createKey has the server make an API key.
func createKey(ctx context.Context, binary, admin string) (string, error) {
	out, err := exec.CommandContext(ctx, binary, "keys", "create", "--server", admin, "-o", "json").Output()
	if err != nil {
		return "", fmt.Errorf("make an API key: %w", err)
	}
	var made struct{ Key string }
	if err := json.Unmarshal(out, &made); err != nil {
		return "", fmt.Errorf("make an API key: %w", err)
	}
	return made.Key, nil
}

// serve starts the real server in a directory.
func serve(binary, more string, args ...string) func(context.Context, string) (*Running, error) {
	return func(ctx context.Context, dir string) (*Running, error) {
		file, err := WriteSettings(dir, more)
		if err != nil {
			return nil, err
		}
		server, err := torture.Start(ctx, binary, filepath.Join(dir, "data"),
			append([]string{"--config", file}, args...)...)
		if err != nil {
			return nil, err
		}
		running := &Running{
			Address: strings.TrimPrefix(strings.TrimPrefix(server.Public, "http://"), "https://"), Path: "/app", PID: server.Pid(),
			Admin: server.Admin,
			// The data is thrown away, so nothing needs to be finished.
			Stop: func() error { server.End(); return nil },
			Accepted: func() (uint64, error) {
				entry, err := server.Entry()
				return entry.Accepted, err
			},
		}
		if len(args) == 0 {
			running.Pending = func() (uint64, error) {
				entry, err := server.Entry()
				return entry.Pending, err
			}
		}
		return running, nil
	}
}

// answer is what the yardsticks say: as long as a receipt.
const answer = `{"request_id":"01a20982-735b-7980-86a3-0c4338e0f4c0","timestamp":"2026-11-23T17:44:33.883608Z","status":"accepted"}` + "\n"

// ServeBare is the yardstick: a handler on net/http that reads the body, answers as pillarbox does,
// and keeps nothing. It returns when ctx ends.
func ServeBare(ctx context.Context, address string) error { return serveBare(ctx, address, nil) }

// ServeBareTLS is the same with TLS.
func ServeBareTLS(ctx context.Context, address string) error {
	pair, _, _, err := newCertificate()
	if err != nil {
		return err
	}
	return serveBare(ctx, address, &tls.Config{MinVersion: tls.VersionTLS12,
		Certificates: []tls.Certificate{pair}})
}

func serveBare(ctx context.Context, address string, secure *tls.Config) error {
	body, length := []byte(answer), strconv.Itoa(len(answer))
	handler := func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			http.Error(w, "body", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", length)
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write(body) // the client is gone if this fails
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	if secure != nil {
		listener = tls.NewListener(listener, secure)
	}
	server := &http.Server{Handler: http.HandlerFunc(handler), ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // Serve returns its error
	defer stop()
	if err := server.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	return nil
}
