// Package charts holds the Helm chart and the compose files to what they promise, with the libraries
// of those who read them: Helm's engine renders the chart, each object is decoded strictly into the
// type that the Kubernetes API has for it, compose-go reads the compose files, and pillarbox itself
// checks the configuration that is in them.
//
// No cluster and no registry is asked: that an image can be pulled is not tried.
package charts

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

const shipped = "../../deploy/helm/pillarbox"

var binary string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "pillarbox-charts-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "pillarbox")
	build := exec.Command("go", "build", "-C", "../..", "-o", binary, "./cmd/pillarbox")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the binary:", err)
		return 1
	}
	return m.Run()
}

// checkConfig gives a configuration to pillarbox, with the variables that it would have.
func checkConfig(t *testing.T, text string, env ...string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pillarbox.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	check := exec.Command(binary, "config", "check", "--config", file)
	check.Env = append([]string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}, env...)
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("pillarbox config check: %v: %s\n%s", err, out, text)
	}
}

// objects are what a chart is rendered to.
type objects struct {
	sets         []*apps.StatefulSet
	deployments  []*apps.Deployment
	services     []*core.Service
	configs      []*core.ConfigMap
	accounts     []*core.ServiceAccount
	budgets      []*policy.PodDisruptionBudget
	policies     []*networking.NetworkPolicy
	ingresses    []*networking.Ingress
	autoscalers  []*autoscaling.HorizontalPodAutoscaler
	monitors     []*monitoring.ServiceMonitor
	selectedPods []pod
}

// pod is the template of a workload.
type pod struct {
	name     string
	selector *meta.LabelSelector
	template core.PodTemplateSpec
	claims   []core.PersistentVolumeClaim
}

func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.Load(shipped)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// render renders a chart with values in YAML, and decodes all that comes of it.
func render(c *chart.Chart, values string) (*objects, error) {
	set := map[string]any{}
	if err := yaml.UnmarshalStrict([]byte(values), &set); err != nil {
		return nil, err
	}
	all, err := util.ToRenderValues(c, set, common.ReleaseOptions{Name: "door", Namespace: "hooks", Revision: 1, IsInstall: true}, nil)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(c, all)
	if err != nil {
		return nil, err
	}
	o := &objects{}
	for name, text := range files {
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		for document := range strings.SplitSeq(text, "\n---\n") {
			if strings.TrimSpace(document) != "" {
				if err := o.add([]byte(document)); err != nil {
					return nil, fmt.Errorf("%s: %w\n%s", name, err, document)
				}
			}
		}
	}
	return o, nil
}

func (o *objects) add(document []byte) error {
	var kind meta.TypeMeta
	if err := yaml.Unmarshal(document, &kind); err != nil {
		return err
	}
	switch kind.APIVersion + " " + kind.Kind {
	case "apps/v1 StatefulSet":
		return into(&o.sets, document)
	case "apps/v1 Deployment":
		return into(&o.deployments, document)
	case "v1 Service":
		return into(&o.services, document)
	case "v1 ConfigMap":
		return into(&o.configs, document)
	case "v1 ServiceAccount":
		return into(&o.accounts, document)
	case "policy/v1 PodDisruptionBudget":
		return into(&o.budgets, document)
	case "networking.k8s.io/v1 NetworkPolicy":
		return into(&o.policies, document)
	case "networking.k8s.io/v1 Ingress":
		return into(&o.ingresses, document)
	case "autoscaling/v2 HorizontalPodAutoscaler":
		return into(&o.autoscalers, document)
	case "monitoring.coreos.com/v1 ServiceMonitor":
		return into(&o.monitors, document)
	}
	return fmt.Errorf("%s %s is not known", kind.APIVersion, kind.Kind)
}

// into decodes as the API server does with fieldValidation=Strict: case counts, and no field may be
// unknown or there twice.
func into[T any](list *[]*T, document []byte) error {
	text, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return err
	}
	object := new(T)
	unknown, err := json.UnmarshalStrict(text, object)
	if err := errors.Join(append(unknown, err)...); err != nil {
		return err
	}
	*list = append(*list, object)
	return nil
}

// choices are the documented choices of values; the examples are read from their files.
func choices(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{
		"defaults":         "{}",
		"three replicas":   "{ replicas: 3, persistence: { size: 100Gi, storageClass: local, accessMode: ReadWriteOnce } }",
		"a digest":         "image: { digest: sha256:" + strings.Repeat("0a", 32) + " }",
		"without the rest": "{ podDisruptionBudget: { enabled: false }, networkPolicy: { enabled: false }, serviceAccount: { create: false } }",
		"much of a pod": `
imagePullSecrets: [{ name: registry }]
env: { PILLARBOX_LOG_LEVEL: debug, PILLARBOX_HTTP_MAX_CONNECTIONS: 5000 }
podAnnotations: { a: b }
podLabels: { c: d }
nodeSelector: { disk: local }
tolerations: [{ key: local, operator: Exists, effect: NoSchedule }]
affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: kubernetes.io/hostname, labelSelector: { matchLabels: { app.kubernetes.io/name: pillarbox } } }] } }
topologySpreadConstraints: [{ maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule }]
service: { type: LoadBalancer, port: 443, annotations: { e: f } }
networkPolicy: { egress: [{ ports: [{ port: 53, protocol: UDP }] }] }
`,
	}
	files, err := filepath.Glob(filepath.Join(shipped, "examples", "*.yaml"))
	if err != nil || len(files) < 2 {
		t.Fatalf("examples: %q, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(file)] = string(text)
		all["fixed "+filepath.Base(file)] = strings.Replace(string(text), "enabled: true, minReplicas", "enabled: false, minReplicas", 1)
	}
	return all
}

// TestEachChoiceKeepsTheRules: each documented choice of values is rendered to objects that the API
// server takes, that belong together, and whose configuration pillarbox takes.
func TestEachChoiceKeepsTheRules(t *testing.T) {
	for name, values := range choices(t) {
		t.Run(name, func(t *testing.T) {
			o, err := render(load(t), values)
			if err != nil {
				t.Fatal(err)
			}
			for _, problem := range problems(o) {
				t.Error(problem)
			}
			for _, p := range o.pods() {
				var env []string
				for _, variable := range p.template.Spec.Containers[0].Env {
					value := variable.Value
					if variable.ValueFrom != nil {
						value = "d2hzZWNfMDEyMzQ1Njc4OWFiY2RlZg=="
					}
					env = append(env, variable.Name+"="+value)
				}
				checkConfig(t, o.configs[0].Data["pillarbox.yaml"], env...)
			}
		})
	}
}

// TestMistakesInValuesAreRefused, with a word of what is wrong.
func TestMistakesInValuesAreRefused(t *testing.T) {
	for values, word := range map[string]string{
		"replica: 2":                            "replica",
		"persistence: { sice: 1Gi }":            "sice",
		"queue: nats":                           "queue",
		"drainDelay: 10":                        "drainDelay",
		"env: { lower: x }":                     "lower",
		"queue: shared":                         "queue.url",
		"config: 'a: [}'":                       "no YAML",
		"admin: { expose: true }":               "tokenSecret",
		"serviceMonitor: { enabled: true }":     "admin.expose",
		"config: 'queue: { url: \"sqs://x\" }'": "queue: shared",
		"{ queue: shared, config: 'queue: { url: \"sqs://x\" }' }": "dead_letters.url",
		"{ queue: shared, config: '{ queue: { url: \"sqs://x\" }, dead_letters: { url: \"s3://x\" }, destinations: { events: { url: \"sqlite:\" } } }' }": "sqlite",
	} {
		if _, err := render(load(t), values); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v", values, err)
		}
	}
}

// TestConfigurationRestartsPods: a pod has to read the new file.
func TestConfigurationRestartsPods(t *testing.T) {
	sums := map[string]bool{}
	for _, values := range []string{"{}", "config: 'sources: { other: { path: /other } }'"} {
		o, err := render(load(t), values)
		if err != nil {
			t.Fatal(err)
		}
		sums[o.pods()[0].template.Annotations["checksum/config"]] = true
	}
	if len(sums) != 2 || sums[""] {
		t.Errorf("the checksums are %v", sums)
	}
}

// TestPlantedFaultsAreFound: each edit of a template is noticed, by the decoder or by the rules.
func TestPlantedFaultsAreFound(t *testing.T) {
	all := choices(t)
	for _, fault := range []struct{ from, to, choice string }{
		{"readOnlyRootFilesystem: true", "readOnlyRootFileSystem: true", "defaults"}, // misspelt
		{"readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "defaults"},
		{"allowPrivilegeEscalation: false", "privileged: true", "defaults"},
		{"drop: [ALL]", "add: [NET_BIND_SERVICE]", "defaults"},
		{"runAsNonRoot: true", "runAsNonRoot: false", "defaults"},
		{"type: RuntimeDefault", "type: Unconfined", "defaults"},
		{"livenessProbe:", "x-livenessProbe:", "defaults"},
		{"path: /-/ready, port: http", "path: /-/ready, port: htpp", "defaults"},
		{"path: /-/ready, port", "path: /ready, port", "defaults"},
		{"whenScaled: Retain", "whenScaled: Delete", "defaults"},
		{"mountPath: /data }", "mountPath: /elsewhere }", "defaults"},
		{"{ name: tmp, emptyDir: {} }", "{ name: temp, emptyDir: {} }", "defaults"},
		{"app.kubernetes.io/component: {{ $front }}", "app.kubernetes.io/component: front", "defaults"},
		{"targetPort: http }", "targetPort: web }", "defaults"},
		{"serviceName: {{ $name }}-pods", "serviceName: {{ $name }}-none", "defaults"},
		{"configMap: { name: {{ include \"pillarbox.name\" .root }} }", "configMap: { name: other }", "defaults"},
		{"terminationGracePeriodSeconds: {{ $v.terminationGracePeriodSeconds }}", "terminationGracePeriodSeconds: 30", "defaults"},
		{"kind: Deployment, name: {{ $name }}-accept", "kind: Deployment, name: {{ $name }}", "aws.yaml"},
		{"{{- if not (dig \"autoscaling\" \"enabled\" false $of) }}", "{{- if true }}", "aws.yaml"},
		{"\"accept,admin\"", "\"deliver,admin\"", "aws.yaml"},
		{"pillarbox/service: pods\n  endpoints", "pillarbox/service: pod\n  endpoints", "postgres.yaml"},
		{"valueFrom: { secretKeyRef: { name: {{ $secret.name }}, key: {{ $secret.key }} } }", "value: {{ $secret.name }}", "postgres.yaml"},
		{"port: { name: http }", "port: { name: web }", "postgres.yaml"},
		{"from: {{- toYaml .adminFrom | nindent 8 }}", "", "postgres.yaml"},
	} {
		c := load(t)
		edited := false
		for _, template := range c.Templates {
			changed := bytes.ReplaceAll(template.Data, []byte(fault.from), []byte(fault.to))
			edited = edited || !bytes.Equal(changed, template.Data)
			template.Data = changed
		}
		if !edited {
			t.Errorf("%s is in no template", fault.from)
			continue
		}
		if o, err := render(c, all[fault.choice]); err == nil && len(problems(o)) == 0 {
			t.Errorf("not noticed: %s in the place of %s", fault.to, fault.from)
		}
	}
}
