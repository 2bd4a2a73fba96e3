package terraform_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// mirrorVariable names the directory of a mirror of providers that has the stand-in for the AWS
// provider. Without it the tests that apply the module are skipped.
const mirrorVariable = "PILLARBOX_TEST_TERRAFORM_MIRROR"

// tool runs Terraform on copies of modules, against the stand-in. It is initialised once, and all
// copies share what that has made.
type tool struct {
	settings string // file with the configuration of the command line
	data     string // where the provider is linked
	lock     string // file with the checksums of the provider
}

var initialised = sync.OnceValues(func() (*tool, error) {
	work, err := os.MkdirTemp("", "pillarbox-terraform")
	if err != nil {
		return nil, err
	}
	shared := &tool{settings: filepath.Join(work, "terraformrc"), data: filepath.Join(work, "data"),
		lock: filepath.Join(work, "module", ".terraform.lock.hcl")}
	settings := fmt.Sprintf(`provider_installation {
  filesystem_mirror {
    path    = %q
    include = ["registry.terraform.io/hashicorp/aws"]
  }
}
disable_checkpoint = true
`, os.Getenv(mirrorVariable))
	if err := os.WriteFile(shared.settings, []byte(settings), 0o600); err != nil {
		return nil, err
	}
	if err := copyModule(module, filepath.Join(work, "module")); err != nil {
		return nil, err
	}
	_, err = shared.run(filepath.Join(work, "module"), "init", "-input=false", "-no-color")
	return shared, err
})

func (s *tool) run(directory string, args ...string) ([]byte, error) {
	command := exec.Command("terraform", args...)
	command.Dir = directory
	command.Env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+s.settings, "TF_DATA_DIR="+s.data,
		"TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1", "AWS_REGION=eu-west-2", "AWS_ACCESS_KEY_ID=x",
		"AWS_SECRET_ACCESS_KEY=x")
	out, err := command.CombinedOutput()
	if err != nil {
		return out, fmt.Errorf("terraform %s: %w\n%s", args[0], err, out)
	}
	return out, nil
}

// terraform returns the tool, or skips the test where the stand-in is not here.
func terraform(t *testing.T) *tool {
	t.Helper()
	if os.Getenv(mirrorVariable) == "" {
		t.Skipf(
			"%s is not set: set it to a mirror that has a stand-in for the AWS provider",
			mirrorVariable,
		)
	}
	shared, err := initialised()
	if err != nil {
		t.Fatal(err)
	}
	return shared
}

func TestMain(m *testing.M) {
	status := m.Run()
	if os.Getenv(mirrorVariable) != "" {
		if shared, err := initialised(); err == nil {
			_ = os.RemoveAll(filepath.Dir(shared.settings))
		}
	}
	os.Exit(status)
}

// copyModule copies what Terraform reads of a module, and files of sources: not its tests, and no state.
func copyModule(from, to string) error {
	for _, part := range []string{"*.tf", "templates/*", "canary/*", "tests/sources/*"} {
		files, err := filepath.Glob(filepath.Join(from, part))
		if err != nil {
			return err
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			target := filepath.Join(to, filepath.Dir(part), filepath.Base(file))
			if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(target, text, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// attributes are those of one resource, as JSON is read.
type attributes map[string]any

// state is what a module has made: attributes by address, data sources as data.TYPE.NAME.
type state map[string]attributes

// apply makes everything in the state of the stand-in. change, if any, is made to the copy before.
func (s *tool) apply(
	t *testing.T,
	from string,
	variables map[string]any,
	change func(directory string) error,
) (state, error) {
	t.Helper()
	directory := t.TempDir()
	if err := copyModule(from, directory); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		if err := change(directory); err != nil {
			t.Fatal(err)
		}
	}
	lock, err := os.ReadFile(s.lock)
	if err != nil {
		t.Fatal(err)
	}
	chosen, err := json.Marshal(variables)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		".terraform.lock.hcl": lock, "chosen.tfvars.json": chosen,
	} {
		if err := os.WriteFile(filepath.Join(directory, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.run(directory, "apply", "-auto-approve", "-input=false", "-no-color",
		"-var-file=chosen.tfvars.json"); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(directory, "terraform.tfstate"))
	if err != nil {
		t.Fatal(err)
	}
	return readState(t, text), nil
}

func readState(t *testing.T, text []byte) state {
	t.Helper()
	var file struct {
		Resources []struct {
			Mode, Type, Name string
			Instances        []struct {
				Key        any `json:"index_key"`
				Attributes attributes
			}
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	made := state{}
	for _, resource := range file.Resources {
		address := resource.Type + "." + resource.Name
		if resource.Mode == "data" {
			address = "data." + address
		}
		for _, instance := range resource.Instances {
			switch key := instance.Key.(type) {
			case nil:
				made[address] = instance.Attributes
			case string:
				made[fmt.Sprintf("%s[%q]", address, key)] = instance.Attributes
			default:
				made[fmt.Sprintf("%s[%v]", address, key)] = instance.Attributes
			}
		}
	}
	return made
}

// of lists the addresses of a type, sorted.
func (s state) of(kind string) []string {
	var found []string
	for address := range s {
		if strings.HasPrefix(address, kind+".") {
			found = append(found, address)
		}
	}
	slices.Sort(found)
	return found
}

// has reports whether anything of the address, with or without an index, is there.
func (s state) has(address string) bool {
	for have := range maps.Keys(s) {
		if have == address || strings.HasPrefix(have, address+"[") {
			return true
		}
	}
	return false
}

// text returns what a path of names leads to, as text; lists and sets of one element are walked
// through. What is not there is empty.
func (s state) text(address string, path ...string) string {
	return shown(walk(map[string]any(s[address]), path))
}

func walk(value any, path []string) any {
	for list, ok := value.([]any); ok && len(list) == 1 && len(path) > 0; list, ok = value.([]any) {
		value = list[0]
	}
	if len(path) == 0 {
		return value
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil
	}
	return walk(object[path[0]], path[1:])
}

// shown writes a value on one line: text as it is, nothing for nothing, and lists in order of their
// text, because most of them are sets.
func shown(value any) string {
	switch value := value.(type) {
	case nil:
		return ""
	case string:
		return value
	case []any:
		parts := make([]string, len(value))
		for i, part := range value {
			parts[i] = shown(part)
		}
		slices.Sort(parts)
		return strings.Join(parts, ",")
	case map[string]any:
		var parts []string
		for _, key := range slices.Sorted(maps.Keys(value)) {
			if text := shown(value[key]); text != "" {
				parts = append(parts, key+"="+text)
			}
		}
		return "{" + strings.Join(parts, " ") + "}"
	}
	var out bytes.Buffer
	if err := json.NewEncoder(&out).Encode(value); err != nil {
		panic("pillarbox: bug: " + err.Error())
	}
	return strings.TrimSpace(out.String())
}
