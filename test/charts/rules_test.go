package charts

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// stages is what a stop may take beside the delay: shutdown.drain_timeout, and 3 s to be cancelled, for
// readiness, the public listener, deliveries, the admin listener and the data.
const stages = 5 * (30 + 3) * time.Second

// pods are the templates of all workloads.
func (o *objects) pods() []pod {
	if o.selectedPods != nil {
		return o.selectedPods
	}
	for _, set := range o.sets {
		o.selectedPods = append(o.selectedPods, pod{set.Name, set.Spec.Selector, set.Spec.Template, set.Spec.VolumeClaimTemplates})
	}
	for _, deployment := range o.deployments {
		o.selectedPods = append(o.selectedPods, pod{deployment.Name, deployment.Spec.Selector, deployment.Spec.Template, nil})
	}
	return o.selectedPods
}

// report collects problems.
type report []string

func (r *report) unless(is bool, format string, args ...any) {
	if !is {
		*r = append(*r, fmt.Sprintf(format, args...))
	}
}

// problems are the rules that the objects break.
func problems(o *objects) []string {
	r := &report{}
	r.unless(len(o.pods()) > 0 && len(o.configs) == 1, "there are %d workloads and %d configurations", len(o.pods()), len(o.configs))
	for _, p := range o.pods() {
		r.pod(o, p)
	}
	r.workloads(o)
	r.around(o)
	return *r
}

func (r *report) pod(o *objects, p pod) {
	spec := p.template.Spec
	r.unless(selects(p.selector.MatchLabels, p.template.Labels), "%s does not select its own pods", p.name)
	for _, other := range o.pods() {
		r.unless(other.name == p.name || !selects(p.selector.MatchLabels, other.template.Labels), "%s selects the pods of %s", p.name, other.name)
	}
	r.unless(len(spec.Containers) == 1, "%s has %d containers", p.name, len(spec.Containers))
	c := spec.Containers[0]
	in := spec.SecurityContext
	r.unless(in != nil && *in.RunAsNonRoot && *in.RunAsUser == 65532 && in.SeccompProfile.Type == core.SeccompProfileTypeRuntimeDefault, "%s: the pod may be root, or has no seccomp profile", p.name)
	own := c.SecurityContext
	r.unless(own != nil && own.Privileged == nil && own.AllowPrivilegeEscalation != nil && !*own.AllowPrivilegeEscalation &&
		own.ReadOnlyRootFilesystem != nil && *own.ReadOnlyRootFilesystem, "%s: the container may change its root, or get rights", p.name)
	r.unless(own.Capabilities != nil && slices.Equal(own.Capabilities.Drop, []core.Capability{"ALL"}) && len(own.Capabilities.Add) == 0, "%s keeps capabilities", p.name)
	r.unless(!*spec.AutomountServiceAccountToken && !spec.HostNetwork, "%s has a token of the API, or the network of the node", p.name)
	name, tag, found := strings.Cut(c.Image, ":")
	r.unless(found && name != "" && tag != "" && tag != "latest", "%s has the image %s", p.name, c.Image)
	r.unless(!c.Resources.Requests.Memory().IsZero() && !c.Resources.Limits.Memory().IsZero(), "%s has no bounds of memory", p.name)
	r.mounts(p, c)
	r.probes(p, c)
	r.variables(p, c)
}

// mounts looks for what each mount is of; where the data lies; and whether the configuration is there.
func (r *report) mounts(p pod, c core.Container) {
	volumes := map[string]bool{}
	for _, volume := range p.template.Spec.Volumes {
		volumes[volume.Name] = true
		r.unless(volume.HostPath == nil, "%s has a directory of the node", p.name)
	}
	for _, claim := range p.claims {
		volumes[claim.Name] = true
	}
	at := map[string]string{}
	for _, mount := range c.VolumeMounts {
		r.unless(volumes[mount.Name], "%s mounts %s, which it does not have", p.name, mount.Name)
		at[mount.MountPath] = mount.Name
	}
	data := variable(c, "PILLARBOX_DATA")
	r.unless(strings.HasPrefix(data, "/data") && at["/data"] == "data", "%s has its data at %s, and mounts %v", p.name, data, at)
	r.unless(at["/etc/pillarbox"] == "config" && slices.Contains(c.Args, "/etc/pillarbox/pillarbox.yaml"), "%s does not read its configuration: %q", p.name, c.Args)
}

// probes are all there, and ask for what the server has.
func (r *report) probes(p pod, c core.Container) {
	ports := portsOf(c)
	for name, probe := range map[string]*core.Probe{"startup": c.StartupProbe, "liveness": c.LivenessProbe, "readiness": c.ReadinessProbe} {
		switch {
		case probe == nil:
			r.unless(false, "%s has no %s probe", p.name, name)
		case probe.HTTPGet != nil:
			r.unless(ports[probe.HTTPGet.Port.StrVal] && probe.HTTPGet.Path == variable(c, "PILLARBOX_LISTEN_READY_PATH"), "%s: the %s probe asks for %s at %s", p.name, name, probe.HTTPGet.Path, probe.HTTPGet.Port.StrVal)
			r.unless(name == "readiness", "%s: readiness is taken for %s", p.name, name)
		case probe.Exec != nil:
			r.unless(slices.Equal(probe.Exec.Command[:2], []string{"/pillarbox", "health"}), "%s: the %s probe runs %q", p.name, name, probe.Exec.Command)
			r.unless(slices.Contains(probe.Exec.Command, "--ready") == (name == "readiness"), "%s: the %s probe runs %q", p.name, name, probe.Exec.Command)
		}
	}
	r.unless(c.ReadinessProbe != nil && (c.ReadinessProbe.HTTPGet != nil) == ports["http"], "%s: what accepts is asked for readiness where it accepts", p.name)
	delay, err := time.ParseDuration(variable(c, "PILLARBOX_SHUTDOWN_DRAIN_DELAY"))
	grace := time.Duration(*p.template.Spec.TerminationGracePeriodSeconds) * time.Second
	r.unless(err == nil && grace > delay+stages, "%s has %v to stop, and may take %v and %v", p.name, grace, delay, stages)
	if probe := c.ReadinessProbe; probe != nil && ports["http"] {
		noticed := time.Duration(probe.PeriodSeconds*probe.FailureThreshold) * time.Second
		r.unless(delay > noticed, "%s accepts for %v after it is not ready, which is noticed after %v", p.name, delay, noticed)
	}
}

// variables hold no secret, and are there once.
func (r *report) variables(p pod, c core.Container) {
	seen := map[string]bool{}
	for _, v := range c.Env {
		r.unless(!seen[v.Name], "%s has %s twice", p.name, v.Name)
		seen[v.Name] = true
		secret := strings.Contains(v.Name, "SECRET") || strings.Contains(v.Name, "PASSWORD") || strings.Contains(v.Name, "TOKEN")
		r.unless(!secret || v.ValueFrom != nil && v.ValueFrom.SecretKeyRef != nil, "%s has %s in clear", p.name, v.Name)
	}
}

func (r *report) workloads(o *objects) {
	for _, set := range o.sets {
		keep := set.Spec.PersistentVolumeClaimRetentionPolicy
		r.unless(keep != nil && keep.WhenDeleted == "Retain" && keep.WhenScaled == "Retain", "%s deletes what was accepted", set.Name)
		r.unless(slices.ContainsFunc(o.services, func(s *core.Service) bool { return s.Name == set.Spec.ServiceName && s.Spec.ClusterIP == "None" }), "%s has no service of its pods", set.Name)
		r.unless(*set.Spec.Replicas > 0, "%s has no replicas", set.Name)
	}
	scaled := map[string]bool{}
	for _, scaler := range o.autoscalers {
		scaled[scaler.Spec.ScaleTargetRef.Name] = true
	}
	roles := map[string]bool{}
	for _, deployment := range o.deployments {
		r.unless((deployment.Spec.Replicas == nil) == scaled[deployment.Name], "%s: its replicas are set by two, or by nobody", deployment.Name)
		delete(scaled, deployment.Name)
	}
	r.unless(len(scaled) == 0, "what is to be scaled is not there: %v", scaled)
	for _, p := range o.pods() {
		args := p.template.Spec.Containers[0].Args
		for role := range strings.SplitSeq(args[len(args)-1], ",") {
			roles[role] = true
		}
		r.unless(portsOf(p.template.Spec.Containers[0])["http"] == strings.Contains(args[len(args)-1], "accept"), "%s: a port without the role, or the other way around", p.name)
	}
	r.unless(roles["accept"] && roles["deliver"] && roles["admin"], "together the pods have the roles %v", roles)
}

// around looks at what selects pods from outside.
func (r *report) around(o *objects) {
	for _, p := range o.pods() {
		for _, volume := range p.template.Spec.Volumes {
			r.unless(volume.ConfigMap == nil || volume.ConfigMap.Name == o.configs[0].Name, "%s mounts another configuration", p.name)
		}
	}
	for _, service := range o.services {
		for _, port := range service.Spec.Ports {
			r.unless(o.allHave(service.Spec.Selector, port.TargetPort), "the service %s leads to no port %s", service.Name, port.TargetPort.String())
		}
		r.unless(len(o.selected(service.Spec.Selector)) > 0, "the service %s selects nothing", service.Name)
	}
	for _, budget := range o.budgets {
		r.unless(len(o.selected(budget.Spec.Selector.MatchLabels)) > 0, "the budget %s selects nothing", budget.Name)
	}
	for _, rule := range o.policies {
		r.unless(len(o.selected(rule.Spec.PodSelector.MatchLabels)) == len(o.pods()), "the policy %s leaves pods out", rule.Name)
		for _, ingress := range rule.Spec.Ingress {
			for _, port := range ingress.Ports {
				r.unless(port.Port.IntVal != 8081 || len(ingress.From) > 0, "the policy %s opens the admin port to everybody", rule.Name)
			}
		}
	}
	for _, ingress := range o.ingresses {
		backend := ingress.Spec.Rules[0].HTTP.Paths[0].Backend.Service
		r.unless(slices.ContainsFunc(o.services, func(s *core.Service) bool { return s.Name == backend.Name && hasPort(s, backend.Port.Name) }), "the ingress leads to %s of %s", backend.Port.Name, backend.Name)
	}
	for _, monitor := range o.monitors {
		r.unless(slices.ContainsFunc(o.services, func(s *core.Service) bool {
			return selects(monitor.Spec.Selector.MatchLabels, s.Labels) && hasPort(s, monitor.Spec.Endpoints[0].Port)
		}), "the monitor selects no service with its port")
		authorization := monitor.Spec.Endpoints[0].Authorization
		r.unless(authorization != nil && authorization.Credentials.Name != "", "the monitor has no token")
	}
}

func (o *objects) selected(selector map[string]string) []pod {
	return slices.DeleteFunc(slices.Clone(o.pods()), func(p pod) bool { return !selects(selector, p.template.Labels) })
}

func (o *objects) allHave(selector map[string]string, port intstr.IntOrString) bool {
	pods := o.selected(selector)
	for _, p := range pods {
		if !portsOf(p.template.Spec.Containers[0])[port.StrVal] {
			return false
		}
	}
	return len(pods) > 0
}

func selects(selector, labels map[string]string) bool {
	for key := range maps.Keys(selector) {
		if labels[key] != selector[key] {
			return false
		}
	}
	return len(selector) > 0
}

func hasPort(service *core.Service, name string) bool {
	return slices.ContainsFunc(service.Spec.Ports, func(p core.ServicePort) bool { return p.Name == name })
}

func portsOf(c core.Container) map[string]bool {
	ports := map[string]bool{}
	for _, port := range c.Ports {
		ports[port.Name] = true
	}
	return ports
}

func variable(c core.Container, name string) string {
	for _, v := range c.Env {
		if v.Name == name {
			return v.Value
		}
	}
	return ""
}
