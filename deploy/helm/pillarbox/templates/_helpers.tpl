{{- define "pillarbox.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "pillarbox.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "pillarbox.labels" -}}
{{ include "pillarbox.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "pillarbox.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "pillarbox.name" .) }}{{ else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{/* What no values can mean is refused, and not rendered. */}}
{{- define "pillarbox.check" -}}
{{- $config := fromYaml .Values.config }}
{{- with $config.Error }}{{ fail (printf "config is no YAML: %s" .) }}{{ end }}
{{- $url := dig "queue" "url" "" $config }}
{{- $shared := hasPrefix "sqs:" $url }}
{{- if and (eq .Values.queue "shared") (not $shared) }}{{ fail "queue is shared, and config has no queue.url of a shared queue (sqs:); set it, or queue: embedded" }}{{ end }}
{{- if and (eq .Values.queue "embedded") $shared }}{{ fail (printf "queue is embedded, and config has queue.url %s; set queue: shared, or leave queue.url out" $url) }}{{ end }}
{{- if and $shared (not (dig "dead_letters" "url" "" $config)) }}{{ fail "queue is shared, and pods keep nothing: dead letters would be lost with the pod. Set dead_letters.url in config" }}{{ end }}
{{- if and $shared (eq (dig "destinations" "events" "url" "" $config) "sqlite:") }}{{ fail "queue is shared, and pods keep nothing: the destination sqlite: would be lost with the pod. Set destinations of another kind in config" }}{{ end }}
{{- if and .Values.admin.expose (not .Values.admin.tokenSecret.name) }}{{ fail "admin.expose needs a token: set admin.tokenSecret.name to a Secret with one of at least 16 characters" }}{{ end }}
{{- if and .Values.serviceMonitor.enabled (not .Values.admin.expose) }}{{ fail "serviceMonitor.enabled needs admin.expose: metrics are on the admin port" }}{{ end }}
{{- end }}

{{/* The template of a pod: root, component and roles. */}}
{{- define "pillarbox.pod" -}}
{{- $v := .root.Values }}
{{- $accepts := has "accept" (splitList "," .roles) }}
metadata:
  labels:
    {{- include "pillarbox.selector" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
    {{- with $v.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  annotations:
    checksum/config: {{ $v.config | sha256sum }}
    {{- with $v.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  serviceAccountName: {{ include "pillarbox.serviceAccount" .root }}
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: {{ $v.terminationGracePeriodSeconds }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: { type: RuntimeDefault }
  {{- with $v.imagePullSecrets }}
  imagePullSecrets: {{ toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: pillarbox
      image: {{ if $v.image.digest }}{{ printf "%s@%s" $v.image.repository $v.image.digest }}{{ else }}{{ printf "%s:%s" $v.image.repository ($v.image.tag | default .root.Chart.AppVersion) }}{{ end }}
      imagePullPolicy: {{ $v.image.pullPolicy }}
      args: [serve, --config, /etc/pillarbox/pillarbox.yaml, --roles, {{ .roles | quote }}]
      env:
        # They go before the file.
        - { name: PILLARBOX_LISTEN, value: ":8080" }
        - { name: PILLARBOX_LISTEN_READY_PATH, value: /-/ready }
        - { name: PILLARBOX_ADMIN_LISTEN, value: {{ ternary ":8081" "127.0.0.1:8081" $v.admin.expose | quote }} }
        - { name: PILLARBOX_DATA, value: /data/pillarbox }
        - { name: PILLARBOX_SHUTDOWN_DRAIN_DELAY, value: {{ $v.drainDelay | quote }} }
        {{- if $v.admin.expose }}
        - name: PILLARBOX_ADMIN_TOKEN
          valueFrom: { secretKeyRef: { name: {{ $v.admin.tokenSecret.name }}, key: {{ $v.admin.tokenSecret.key }} } }
        {{- end }}
        {{- range $name, $secret := $v.secretEnv }}
        - name: {{ $name }}
          valueFrom: { secretKeyRef: { name: {{ $secret.name }}, key: {{ $secret.key }} } }
        {{- end }}
        {{- range $name, $value := $v.env }}
        - { name: {{ $name }}, value: {{ $value | toString | quote }} }
        {{- end }}
      ports:
        {{- if $accepts }}
        - { name: http, containerPort: 8080 }
        {{- end }}
        {{- if $v.admin.expose }}
        - { name: admin, containerPort: 8081 }
        {{- end }}
      # A start reads the log again; it may take minutes.
      startupProbe:
        exec: { command: [/pillarbox, health, --config, /etc/pillarbox/pillarbox.yaml] }
        periodSeconds: 2
        timeoutSeconds: 5
        failureThreshold: 300
      livenessProbe:
        exec: { command: [/pillarbox, health, --config, /etc/pillarbox/pillarbox.yaml] }
        periodSeconds: 20
        timeoutSeconds: 10
        failureThreshold: 6
      readinessProbe:
        {{- if $accepts }}
        httpGet: { path: /-/ready, port: http, scheme: {{ $v.scheme }} }
        periodSeconds: 2
        {{- else }}
        exec: { command: [/pillarbox, health, --ready, --config, /etc/pillarbox/pillarbox.yaml] }
        periodSeconds: 20
        {{- end }}
        timeoutSeconds: 5
        failureThreshold: 2
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: { drop: [ALL] }
      resources: {{ toYaml $v.resources | nindent 8 }}
      volumeMounts:
        - { name: data, mountPath: /data }
        - { name: config, mountPath: /etc/pillarbox, readOnly: true }
        - { name: tmp, mountPath: /tmp }
  volumes:
    - name: config
      configMap: { name: {{ include "pillarbox.name" .root }} }
    - { name: tmp, emptyDir: {} }
    {{- if eq $v.queue "shared" }}
    - { name: data, emptyDir: {} }
    {{- end }}
  {{- with $v.nodeSelector }}
  nodeSelector: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.tolerations }}
  tolerations: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.affinity }}
  affinity: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.topologySpreadConstraints }}
  topologySpreadConstraints: {{ toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
