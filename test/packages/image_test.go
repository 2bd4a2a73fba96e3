package packages_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

const dockerfile = "deploy/docker/Dockerfile"

// image is what buildah has put together, in a storage that ends with the test.
type image struct {
	t       *testing.T
	storage []string
}

func newImage(t *testing.T) *image {
	t.Helper()
	need(t, "buildah", "buildah")
	need(t, "unshare", "util-linux")
	if os.Getuid() != 0 {
		missing(t, "root is needed to put an image together without a user namespace, and to run it")
	}
	dir := t.TempDir()
	return &image{t: t, storage: []string{"--storage-driver", "vfs", "--root", filepath.Join(dir, "root"),
		"--runroot", filepath.Join(dir, "run")}}
}

func (i *image) buildah(args ...string) string {
	i.t.Helper()
	return strings.TrimSpace(must(i.t, "buildah", append(i.storage, args...)...))
}

// build builds the text of a Dockerfile, and mounts what has come of it.
func (i *image) build(name, text, context string) (mounted string) {
	i.t.Helper()
	file := write(i.t, filepath.Join(i.t.TempDir(), "Dockerfile"), text)
	i.buildah("build", "--format", "docker", "--isolation", "chroot", "-q", "-f", file, "-t", name, context)
	container := i.buildah("from", name)
	mounted = i.buildah("mount", container)
	i.t.Cleanup(func() { i.buildah("rm", container) })
	return mounted
}

var runLine = regexp.MustCompile(`(?m)^RUN (.*)$`)

// compiled plays the first stage: what .dockerignore lets through is compiled as the RUN lines say,
// by the Go of this machine, because no registry is asked for golang's image.
func (i *image) compiled(stage string) (dir string) {
	i.t.Helper()
	from := regexp.MustCompile(`(?m)^FROM (\S+) AS build$`).FindStringSubmatch(stage)
	if from == nil || !regexp.MustCompile(`golang:\d+\.\d+\.\d+-\w+$`).MatchString(from[1]) {
		i.t.Fatalf("the first stage is from %q, and not from a version of golang", from)
	}
	copied := strings.Replace(runLine.ReplaceAllString(stage, ""), from[0], "FROM scratch", 1)
	dir = i.build("build", copied, root)
	commands := runLine.FindAllStringSubmatch(stage, -1)
	if len(commands) < 2 {
		i.t.Fatalf("the first stage has %d RUN lines", len(commands))
	}
	for _, command := range commands {
		shell := exec.Command("sh", "-ec", strings.ReplaceAll(command[1], "/out/", dir+"/out/"))
		shell.Dir = filepath.Join(dir, "src")
		if out, talk, err := output(shell); err != nil {
			i.t.Fatalf("%s: %v\n%s%s", command[1], err, out, talk)
		}
	}
	authorities := filepath.Join(dir, "etc/ssl/certs")
	if err := os.MkdirAll(authorities, 0o755); err != nil {
		i.t.Fatal(err)
	}
	must(i.t, "cp", "-L", "/etc/ssl/certs/ca-certificates.crt", authorities)
	return dir
}

// config is what a runtime reads of an image.
type config struct {
	User         string
	Env          []string
	Entrypoint   []string
	Cmd          []string
	Volumes      map[string]struct{}
	ExposedPorts map[string]struct{}
	StopSignal   string
	Healthcheck  struct{ Test []string }
}

// TestImage: both stages of the Dockerfile, and then the image is run as a runtime does: as its user,
// without any capability, the root read-only and only the volume to write to. It takes an event, its
// health check says so, and the volume has it after a stop.
func TestImage(t *testing.T) {
	i := newImage(t)
	text := read(t, dockerfile)
	begin := strings.LastIndex(text, "\nFROM ")
	context := i.compiled(text[:begin])
	last := strings.ReplaceAll(text[begin+1:], "COPY --from=build ", "COPY ")
	mounted := i.build("pillarbox", last, context)

	var inspected struct {
		Docker struct {
			Config config `json:"config"`
		}
	}
	if err := json.Unmarshal([]byte(i.buildah("inspect", "--type", "image", "pillarbox")), &inspected); err != nil {
		t.Fatal(err)
	}
	got := inspected.Docker.Config
	if _, volume := got.Volumes["/data"]; got.User != "65532:65532" || !volume || got.StopSignal == "KILL" {
		t.Errorf("the image has %+v", got)
	}
	if check := got.Healthcheck.Test; len(check) < 2 || check[0] != "CMD" {
		t.Fatalf("its health check is %q", check)
	}
	var files []string
	for _, name := range strings.Fields(must(t, "find", mounted, "-type", "f", "-printf", "/%P\n")) {
		if !strings.HasPrefix(name, "/proc/") && !strings.HasPrefix(name, "/sys/") && !strings.HasPrefix(name, "/dev/") {
			files = append(files, name)
		}
	}
	if len(files) != 2 {
		t.Errorf("more than the binary and the authorities is in it: %q", files)
	}

	address, admin := freeAddress(t), freeAddress(t)
	box := &contained{t: t, root: mounted, config: got}
	server := box.command(append(append(got.Entrypoint, got.Cmd...), "--listen", address, "--admin", admin)...)
	var log bytes.Buffer
	server.Stderr = &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill() })
	check := append(got.Healthcheck.Test[1:], "--admin", admin)
	until(t, "the health check passes; "+dockerfile, func() bool {
		_, _, err := output(box.command(check...))
		return err == nil
	})
	must(t, filepath.Join(mounted, "pillarbox"), "post", "http://"+address+"/app", "--body", "x")
	status := must(t, "cat", "/proc/"+strconv.Itoa(server.Process.Pid)+"/status")
	for _, line := range []string{"Uid:\t65532\t65532", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"} {
		if !strings.Contains(status, line) {
			t.Errorf("the server has not %q", line)
		}
	}
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := server.Wait(); err != nil {
		t.Errorf("the server ended with %v: %s", err, log.String())
	}
	if out, talk, err := output(box.command("/pillarbox", "audit")); err != nil || !strings.Contains(out, "1") {
		t.Errorf("what the volume has: %v: %s%s", err, out, talk)
	}
	if _, _, err := output(box.command(check...)); err == nil {
		t.Error("the health check of a server that has ended passes")
	}
	if _, talk, err := output(box.command("/pillarbox", "serve", "--data", "/elsewhere", "--listen", address, "--admin", admin)); err == nil {
		t.Errorf("the root is not read-only: %s", talk)
	}
}

// contained runs commands in the image, without a container runtime.
type contained struct {
	t      *testing.T
	root   string
	config config
}

// command runs in a mount namespace of its own, where the root can't be written to and the volume can.
func (c *contained) command(args ...string) *exec.Cmd {
	const script = `mount --bind "$0" "$0"; mount --bind "$0/data" "$0/data"; mount -o remount,bind,ro "$0"
exec setpriv --no-new-privs --inh-caps=-all --bounding-set=-all,+sys_chroot,+setuid,+setgid chroot --userspec="$1" --groups= "$0" "${@:2}"`
	command := exec.Command("unshare", append([]string{"--mount", "--propagation", "private", "bash", "-ec", script,
		c.root, c.config.User}, args...)...)
	command.Env = c.config.Env
	return command
}
