package packages_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"pillarbox/test/harness"
)

const unit = "deploy/systemd/pillarbox.service"

// exposure is what systemd-analyze security may find at most, times ten; it calls up to 20 OK.
const exposure = "--threshold=13"

// units copies the shipped units, with this machine's binary in the place of the installed one.
func units(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{unit, "deploy/systemd/pillarbox.socket"} {
		text := strings.ReplaceAll(read(t, name), "/usr/local/bin/pillarbox", harness.Binary())
		write(t, filepath.Join(dir, filepath.Base(name)), text)
	}
	return dir
}

// TestUnitsAreUnderstood: systemd knows every setting, and the two belong together.
func TestUnitsAreUnderstood(t *testing.T) {
	need(t, "systemd-analyze", "systemd")
	dir := units(t)
	verify := func() (string, error) {
		out, talk, err := output(exec.Command("systemd-analyze", "verify", "--man=no",
			filepath.Join(dir, "pillarbox.service"), filepath.Join(dir, "pillarbox.socket")))
		return out + talk, err
	}
	if said, err := verify(); err != nil || strings.Contains(said, dir) {
		t.Errorf("%v: %s", err, said)
	}
	name := filepath.Join(dir, "pillarbox.service")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	write(t, name, strings.Replace(string(text), "ProtectSystem=", "ProtectSistem=", 1))
	if said, _ := verify(); !strings.Contains(said, "ProtectSistem") {
		t.Errorf("a setting that does not exist is not noticed: %s", said)
	}
}

// TestUnitIsHardened: and the judge notices what is taken away.
func TestUnitIsHardened(t *testing.T) {
	need(t, "systemd-analyze", "systemd")
	judge := func(text string) (string, error) {
		name := write(t, filepath.Join(t.TempDir(), "pillarbox.service"), text)
		out, talk, err := output(exec.Command("systemd-analyze", "security", "--offline=true",
			exposure, "--no-pager", name))
		return out + talk, err
	}
	text := read(t, unit)
	if said, err := judge(text); err != nil {
		t.Errorf("%v: %s", err, said)
	}
	for _, setting := range []string{"SystemCallFilter=", "CapabilityBoundingSet=", "DynamicUser=", "RestrictAddressFamilies="} {
		without := regexp.MustCompile(`(?m)^`+setting+`.*$`).ReplaceAllString(text, "")
		if without == text {
			t.Fatalf("the unit has no %s", setting)
		}
		if said, err := judge(without); err == nil {
			t.Errorf("without %s the unit passes: %s", setting, said)
		}
	}
}

// TestUnitAllowsWhatAServerDoes: a server that takes events, stores them and stops is watched by
// strace. It makes no call that SystemCallFilter refuses, maps no memory that can be written and run
// (MemoryDenyWriteExecute), and opens no socket of another family than RestrictAddressFamilies has.
func TestUnitAllowsWhatAServerDoes(t *testing.T) {
	need(t, "systemd-analyze", "systemd")
	need(t, "strace", "strace")
	dir := shortDir(t)
	trace, address := filepath.Join(dir, "trace"), freeAddress(t)
	admin := "unix:" + filepath.Join(dir, "admin")
	server := exec.Command("strace", "-f", "-qq", "-o", trace, harness.Binary(), "serve", "--listen", address,
		"--admin", admin, "--data", filepath.Join(dir, "data"))
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill() })
	until(t, "the server is ready", func() bool {
		_, _, code := harness.Run(t, "health", "--ready", "--admin", admin)
		return code == 0
	})
	if _, talk, code := harness.Run(t, "post", "http://"+address+"/app", "-n", "20"); code != 0 {
		t.Fatal(talk)
	}
	until(t, "they are stored", func() bool {
		out, _, _ := harness.Run(t, "events", "--admin", admin, "-o", "json")
		return strings.Count(out, `"request_id"`) == 20
	})
	// strace passes no signal on: it is its child that is to stop.
	children := must(t, "pgrep", "-P", strconv.Itoa(server.Process.Pid))
	must(t, "kill", "-TERM", strings.TrimSpace(children))
	if err := server.Wait(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	problems, calls := judgeTrace(t, string(text), read(t, unit))
	if calls < 20 {
		t.Errorf("only %d different calls were seen", calls)
	}
	for _, problem := range problems {
		t.Error(problem)
	}
	for _, planted := range []string{
		"1 reboot(0) = 0\n", "1 socket(AF_PACKET, SOCK_RAW, 0) = 3\n",
		"1 mmap(NULL, 4096, PROT_READ|PROT_WRITE|PROT_EXEC, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f\n",
	} {
		if problems, _ := judgeTrace(t, planted, read(t, unit)); len(problems) == 0 {
			t.Errorf("not noticed: %s", planted)
		}
	}
}

var tracedCall = regexp.MustCompile(`(?m)^\d+ +(\w+)\((.*)$`)

// judgeTrace says what of a trace the unit would not allow, and how many calls it knows.
func judgeTrace(t *testing.T, trace, unit string) (problems []string, calls int) {
	t.Helper()
	seen, allowed := map[string]bool{}, map[string]bool{}
	for _, match := range regexp.MustCompile(`(?m)^SystemCallFilter=(~?)(.*)$`).FindAllStringSubmatch(unit, -1) {
		for set := range strings.FieldsSeq(match[2]) {
			calls := map[string]bool{set: true}
			if strings.HasPrefix(set, "@") {
				calls = callsOf(t, set)
			}
			for call := range calls {
				allowed[call] = match[1] == ""
			}
		}
	}
	families := regexp.MustCompile(`(?m)^RestrictAddressFamilies=(.*)$`).FindStringSubmatch(unit)[1]
	for _, match := range tracedCall.FindAllStringSubmatch(trace, -1) {
		call, rest := match[1], match[2]
		first, _, _ := strings.Cut(rest, ",")
		switch {
		case call == "socket" && !strings.Contains(" "+families+" ", " "+first+" "):
			problems = append(problems, "a socket of the family "+first)
		case strings.Contains(rest, "PROT_EXEC") && strings.Contains(rest, "PROT_WRITE"),
			call == "mprotect" && strings.Contains(rest, "PROT_EXEC"):
			problems = append(problems, "memory that can be written and run: "+call+"("+rest)
		}
		if !seen[call] && !allowed[call] {
			problems = append(problems, "the call "+call+" is not in SystemCallFilter")
		}
		seen[call] = true
	}
	return problems, len(seen)
}

// callsOf are the system calls of a set of systemd, and of those that it includes.
func callsOf(t *testing.T, set string) map[string]bool {
	t.Helper()
	calls := map[string]bool{}
	for line := range strings.Lines(must(t, "systemd-analyze", "syscall-filter", "--no-pager", set)) {
		switch name := strings.TrimSpace(line); {
		case name == set, name == "", strings.HasPrefix(name, "#"):
		case strings.HasPrefix(name, "@"):
			for call := range callsOf(t, name) {
				calls[call] = true
			}
		default:
			calls[name] = true
		}
	}
	return calls
}

// TestSocketActivation: systemd's own activator opens the port under the name of the socket unit, and
// starts the server, as the unit does, with the first connection.
func TestSocketActivation(t *testing.T) {
	need(t, "systemd-socket-activate", "systemd")
	name := regexp.MustCompile(`(?m)^FileDescriptorName=(.*)$`).FindStringSubmatch(read(t, "deploy/systemd/pillarbox.socket"))
	listen := regexp.MustCompile(`--listen (systemd:\S+)`).FindStringSubmatch(read(t, unit))
	if name == nil || listen == nil || listen[1] != "systemd:"+name[1] {
		t.Fatalf("the socket unit has %v, the service %v", name, listen)
	}
	dir, address := shortDir(t), freeAddress(t)
	server := exec.Command("systemd-socket-activate", "--listen="+address, "--fdname="+name[1], harness.Binary(), "serve",
		"--listen", listen[1], "--admin", "unix:"+filepath.Join(dir, "admin"), "--data", filepath.Join(dir, "data"))
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill() })
	until(t, "the port is there, and the post that starts the server is accepted", func() bool {
		response, err := http.Post("http://"+address+"/app", "text/plain", strings.NewReader("x"))
		if err != nil {
			return false
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusAccepted {
			t.Fatalf("it answers %d", response.StatusCode)
		}
		return true
	})
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := server.Wait(); err != nil {
		t.Error(err)
	}
}
