package charts

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// pinned is an image with a version that says which one.
var pinned = regexp.MustCompile(`^[a-z0-9./-]+:\d+\.\d+(\.\d+)?(-\w+)?$`)

func readCompose(t *testing.T, name, text string) (*types.Project, error) {
	t.Helper()
	dir, err := filepath.Abs("../../deploy/compose")
	if err != nil {
		t.Fatal(err)
	}
	return loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  dir,
		ConfigFiles: []types.ConfigFile{{Filename: name, Content: []byte(text)}},
		Environment: types.Mapping{"DOMAIN": "hooks.example.org"},
	})
}

// TestComposeFiles: the schema and the rules of Compose hold, pillarbox takes the configuration, and
// its containers have no more rights than they need.
func TestComposeFiles(t *testing.T) {
	files, err := filepath.Glob("../../deploy/compose/*.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			project, err := readCompose(t, file, string(text))
			if err != nil {
				t.Fatal(err)
			}
			for _, problem := range composeProblems(project) {
				t.Error(problem)
			}
			checkConfig(t, project.Configs["pillarbox"].Content)
			for _, fault := range [][2]string{
				{"read_only: true", "readonly: true"}, {"read_only: true", "read_only: false"}, {"cap_drop: [ALL]", "cap_drop: []"},
				{"pillarbox:0.1.0", "pillarbox:latest"}, {"stop_grace_period: 180s", "stop_grace_period: 10s"},
				{"deploy/docker/Dockerfile", "deploy/docker/Dockerfil"},
			} {
				planted := strings.ReplaceAll(string(text), fault[0], fault[1])
				if planted == string(text) {
					t.Errorf("%s is not in it", fault[0])
				}
				if project, err := readCompose(t, file, planted); err == nil && len(composeProblems(project)) == 0 {
					t.Errorf("not noticed: %s in the place of %s", fault[1], fault[0])
				}
			}
		})
	}
}

func composeProblems(project *types.Project) (problems []string) {
	ours := 0
	for name, service := range project.Services {
		tell := func(what string) { problems = append(problems, name+" "+what) }
		if !pinned.MatchString(service.Image) {
			tell("has the image " + service.Image)
		}
		for variable, value := range service.Environment {
			secret := strings.Contains(variable, "PASSWORD") || strings.Contains(variable, "SECRET")
			if value != nil && secret && !strings.HasPrefix(*value, "/run/secrets/") {
				tell("has " + variable + " in clear")
			}
		}
		if service.Build == nil {
			continue
		}
		ours++
		if _, err := os.Stat(filepath.Join(service.Build.Context, service.Build.Dockerfile)); err != nil {
			tell(fmt.Sprint("can't be built: ", err))
		}
		if !service.ReadOnly || !slices.Contains(service.CapDrop, "ALL") || !slices.Contains(service.SecurityOpt, "no-new-privileges:true") || service.Privileged {
			tell("has more rights than it needs")
		}
		if service.StopGracePeriod == nil || time.Duration(*service.StopGracePeriod) <= stages {
			tell("may be killed while it stops")
		}
		for _, port := range service.Ports {
			if port.HostIP != "127.0.0.1" {
				tell("is open to other machines, without TLS")
			}
		}
	}
	if ours == 0 {
		problems = append(problems, "pillarbox is not in it")
	}
	return problems
}
