{{/* Prefix of every object's name; short enough for the hashes that controllers append. */}}
{{- define "seccomp-profile.name" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride }}
{{- else if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{/* Labels of every object. */}}
{{- define "seccomp-profile.labels" -}}
{{- $own := dict
  "app.kubernetes.io/name" .Chart.Name
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") -}}
{{ mergeOverwrite dict (.Values.commonLabels | default dict) $own | toYaml }}
{{- end -}}

{{/* Labels that select a component's pods: (list $ "operator"). Never change them, because selectors are immutable. */}}
{{- define "seccomp-profile.selector" -}}
{{- $root := first . -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
app.kubernetes.io/component: {{ last . }}
{{- end -}}

{{/* Metadata of a component's pods: (list $ "operator" .Values.operator). */}}
{{- define "seccomp-profile.podMetadata" -}}
{{- $root := index . 0 -}}
{{- $values := index . 2 -}}
{{- $selector := include "seccomp-profile.selector" (list $root (index . 1)) | fromYaml -}}
{{- $version := dict "app.kubernetes.io/version" $root.Chart.AppVersion -}}
{{- $scrape := dict -}}
{{- if $root.Values.metrics.annotations -}}
{{- $scrape = dict "prometheus.io/scrape" "true" "prometheus.io/port" "8080" "prometheus.io/path" "/metrics" -}}
{{- end -}}
labels: {{- mergeOverwrite dict ($root.Values.commonLabels | default dict) ($values.podLabels | default dict) $version $selector | toYaml | nindent 2 }}
{{- with mergeOverwrite dict $scrape ($values.podAnnotations | default dict) }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* A component's image: (list $ .Values.operator.image). */}}
{{- define "seccomp-profile.image" -}}
{{- $root := first . -}}
{{- $image := last . -}}
{{- with $root.Values.image.registry }}{{ . }}/{{ end }}{{ $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default $root.Chart.AppVersion }}{{ end -}}
{{- end -}}

{{/* The user name of a component's service account in the API server: (list $ "operator"). */}}
{{- define "seccomp-profile.account" -}}
{{- $root := first . -}}
system:serviceaccount:{{ $root.Release.Namespace }}:{{ include "seccomp-profile.name" $root }}-{{ last . }}
{{- end -}}

{{/* Options of both programs. */}}
{{- define "seccomp-profile.commonArgs" -}}
- --directory={{ .Values.directory }}
- --listen={{ .Values.listenAddress }}:8080
- --log-format={{ .Values.log.format }}
- --log-level={{ .Values.log.level }}
{{- end -}}

{{/*
Options about the agents. Their DaemonSet uses the same two values, so that exactly the nodes count that have an agent.
*/}}
{{- define "seccomp-profile.agentArgs" -}}
{{- $agents := list }}
{{- range $key, $value := include "seccomp-profile.selector" (list . "node-agent") | fromYaml }}
{{- $agents = append $agents (printf "%s=%s" $key $value) }}
{{- end -}}
- --agent-label-selector={{ $agents | join "," }}
{{- with .Values.agent.nodeSelector }}
- {{ printf "--node-selector=%s" (toJson .) | squote }}
{{- end }}
{{- if (.Values.agent.nodeAffinity).nodeSelectorTerms }}
- {{ printf "--node-affinity=%s" (toJson .Values.agent.nodeAffinity) | squote }}
{{- end }}
{{- end -}}

{{/*
Tolerations of what must run even if every node has the start-up taint, as a list: (list $ .Values.operator.tolerations).
*/}}
{{- define "seccomp-profile.tolerations" -}}
{{- $root := first . -}}
{{- $tolerations := last . | default list -}}
{{- $nodes := ($root.Values.gate).nodes | default dict -}}
{{- if and ($root.Values.gate).enabled $nodes.enabled -}}
{{- $tolerations = append $tolerations (dict "key" $nodes.taintKey "operator" "Exists") -}}
{{- end -}}
{{- with $tolerations }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{/* Port and probes of both programs. */}}
{{- define "seccomp-profile.probes" -}}
ports:
  - name: http
    containerPort: 8080
    protocol: TCP
livenessProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
  timeoutSeconds: 5
{{- end -}}

{{/*
The Deployment of a program of which several replicas elect one: dict "root" $ "component" "gate" "values" .Values.gate
"args" <a list as YAML>; where it differs from the operator's, also "image", a further "port", a "gracePeriod", and "files" of a
ConfigMap: dict "configMap" <its name> "path" <where they are> "sum" <what changes with them>.
*/}}
{{- define "seccomp-profile.deployment" -}}
{{- $root := .root -}}
{{- $component := .component -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "seccomp-profile.name" $root }}-{{ .component }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{- include "seccomp-profile.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  replicas: {{ .values.replicas }}
  revisionHistoryLimit: 3
  # A new pod is ready (its caches are complete) before an old one is removed; the lease decides which one writes.
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxSurge: 1
      maxUnavailable: 0
  selector:
    matchLabels: {{- include "seccomp-profile.selector" (list $root .component) | nindent 6 }}
  template:
    metadata: {{- include "seccomp-profile.podMetadata" (list $root .component .values) | nindent 6 }}
    spec:
      serviceAccountName: {{ include "seccomp-profile.name" $root }}-{{ .component }}
      automountServiceAccountToken: true
      enableServiceLinks: false
      {{- with .values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- with $root.Values.imagePullSecrets }}
      imagePullSecrets: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .values.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with include "seccomp-profile.tolerations" (list $root .values.tolerations) }}
      tolerations: {{- . | nindent 8 }}
      {{- end }}
      {{- with .values.topologySpreadConstraints }}
      topologySpreadConstraints:
        {{- range . }}
        - {{ toYaml . | nindent 10 | trim }}
          {{- if not .labelSelector }}
          labelSelector:
            matchLabels: {{- include "seccomp-profile.selector" (list $root $component) | nindent 14 }}
          {{- end }}
        {{- end }}
      {{- end }}
      {{- if .values.affinity }}
      affinity: {{- toYaml .values.affinity | nindent 8 }}
      {{- else if gt (.values.replicas | int) 1 }}
      # Preferably on different nodes and in different zones; if there is only one, on the same.
      affinity:
        podAntiAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
            {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
            - weight: 50
              podAffinityTerm:
                topologyKey: {{ . }}
                labelSelector:
                  matchLabels: {{- include "seccomp-profile.selector" (list $root $component) | nindent 20 }}
                # During an update the old pods do not count, because they are about to end.
                matchLabelKeys: [pod-template-hash]
            {{- end }}
      {{- end }}
      terminationGracePeriodSeconds: {{ .gracePeriod | default 15 }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        seccompProfile:
          type: RuntimeDefault
      containers:
        - name: {{ .component }}
          image: {{ include "seccomp-profile.image" (list $root (.image | default $root.Values.operator.image)) }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          args: {{- .args | nindent 12 }}
          env:
            - name: POD_NAMESPACE
              valueFrom:
                fieldRef:
                  fieldPath: metadata.namespace
            {{- with .files }}
            # It changes with the files, which the program reads once.
            - {name: FILES_SUM, value: {{ .sum | quote }}}
            {{- end }}
          {{- $probes := include "seccomp-profile.probes" $root | fromYaml }}
          {{- with .port }}
          {{- $_ := set $probes "ports" (append $probes.ports .) }}
          {{- end }}
          {{- toYaml $probes | nindent 10 }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities:
              drop: [ALL]
          {{- with .values.resources }}
          resources: {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- with .files }}
          volumeMounts:
            - {name: files, mountPath: {{ .path }}, readOnly: true}
      volumes:
        - name: files
          configMap:
            name: {{ .configMap }}
          {{- end }}
{{- end -}}

{{/* What the webhook reads about registries: certificates of authorities, and keys that must have signed profiles. */}}
{{- define "seccomp-profile.registryFiles" -}}
{{- if and (.Values.admission).enabled (.Values.admission.images).enabled }}
{{- with .Values.admission.images }}
{{- with .registries.authorities }}
ca.crt: {{ . | quote }}
{{- end }}
{{- with (.signatures).keys }}
keys.pem: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What the webhook may do with a webhook configuration. */}}
{{- define "seccomp-profile.configurationVerbs" -}}
{{ if (.Values.admission.certManager).enabled }}[list, watch]{{ else }}[list, watch, patch]{{ end }}
{{- end -}}

{{/* Annotations of a webhook configuration: from which certificate cert-manager's cainjector takes the authority. */}}
{{- define "seccomp-profile.injection" -}}
{{- if (.Values.admission.certManager).enabled -}}
annotations:
  cert-manager.io/inject-ca-from: {{ .Release.Namespace }}/{{ include "seccomp-profile.name" . }}-admission
{{- end }}
{{- end -}}

{{/* How containers get the profiles of their images. */}}
{{- define "seccomp-profile.imagesMode" -}}
{{ ((.Values.admission).images).mode | default "localhost" }}
{{- end -}}

{{/* Whether the operator removes profiles that images have brought and that no pod names any more; else empty. */}}
{{- define "seccomp-profile.removesImageProfiles" -}}
{{- $images := (.Values.admission).images }}
{{- if and (.Values.admission).enabled ($images).enabled (($images).removeUnusedAfterHours) }}true{{ end }}
{{- end -}}

{{/*
Validations that restrict an account's right to patch profiles: (list "the operator"), and which it may delete, as a CEL
expression: (list "the operator" "true").
*/}}
{{- define "seccomp-profile.finalizerOnly" -}}
{{- $who := first . -}}
{{- if gt (len .) 1 }}
- expression: request.operation != 'CREATE'
  message: {{ $who }} creates no profile
- expression: >-
    request.operation != 'DELETE' || {{ index . 1 }}
  message: {{ $who }} deletes profiles that images have brought and no others
{{- else }}
- expression: request.operation == 'UPDATE'
  message: {{ $who }} neither creates nor deletes a profile
{{- end }}
- expression: request.operation != 'UPDATE' || object.?spec == oldObject.?spec
  message: {{ $who }} does not change the spec of a profile
- expression: >-
    request.operation != 'UPDATE' || (
    object.metadata.?labels == oldObject.metadata.?labels &&
    object.metadata.?annotations == oldObject.metadata.?annotations &&
    object.metadata.?ownerReferences == oldObject.metadata.?ownerReferences &&
    object.metadata.?finalizers.orValue([]).filter(f, f != 'seccomp.imjasonh.dev/node-files') ==
    oldObject.metadata.?finalizers.orValue([]).filter(f, f != 'seccomp.imjasonh.dev/node-files'))
  message: {{ $who }} changes nothing in a profile's metadata but its own finalizer
{{- end -}}

{{/*
The policy that restricts a component's right to publish Events in every namespace: dict "root" $ "component" "gate" "about" <a
CEL expression for the objects and the reasons of its Events> "message" <the same in words>. The API server itself refuses an
Event with the source of another program, and an update that changes more than the series.
*/}}
{{- define "seccomp-profile.eventsOnly" -}}
{{- $name := printf "%s-%s-events-only" (include "seccomp-profile.name" .root) .component -}}
{{- $itself := printf "seccomp-profile-%s" .component -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: {{ $name }}
  labels: {{- include "seccomp-profile.labels" .root | nindent 4 }}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
      - apiGroups: [events.k8s.io]
        apiVersions: ["*"]
        operations: [CREATE, UPDATE]
        resources: [events]
  matchConditions:
    - name: {{ .component }}
      expression: request.userInfo.username == '{{ include "seccomp-profile.account" (list .root .component) }}'
  validations:
    - expression: >-
        object.?reportingController.orValue('') == '{{ $itself }}' &&
        (request.operation == 'CREATE' || oldObject.?reportingController.orValue('') == '{{ $itself }}')
      message: the {{ .component }} publishes Events as itself, and changes none of others
    - expression: >-
        {{- .about | nindent 8 }}
      message: the {{ .component }} publishes Events about {{ .message }}
    - expression: >-
        object.metadata.?ownerReferences.orValue([]).size() == 0 && object.metadata.?finalizers.orValue([]).size() == 0 &&
        object.metadata.?labels.orValue({}).size() == 0 && object.metadata.?annotations.orValue({}).size() == 0
      message: the {{ .component }}'s Events have no owner, finalizer, label or annotation
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ $name }}
  labels: {{- include "seccomp-profile.labels" .root | nindent 4 }}
spec:
  policyName: {{ $name }}
  validationActions: [Deny]
{{- end -}}

{{/*
A regular expression for the paths of profiles as pods write them. The runtime skips empty and "." components.
*/}}
{{- define "seccomp-profile.pathPattern" -}}
^(\.?/)*{{ .Values.directory | regexQuoteMeta | replace "/" "/(\\.?/)*" }}/(\.?/)*[^/]+\.json(/\.?)*$
{{- end -}}

{{/* A CEL expression: a text is a name that a SeccompProfile can have, which is a file name, too: (list "variables.name"). */}}
{{- define "seccomp-profile.isProfileName" -}}
{{- $text := first . -}}
({{ $text }}.size() <= 240 && {{ $text }}.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$'))
{{- end -}}

{{/*
A CEL expression: two maps are equal but for some fields. The arguments are the variables, and the list of the fields.
*/}}
{{- define "seccomp-profile.unchanged" -}}
{{- $new := printf "variables.%s" (index . 0) -}}
{{- $old := printf "variables.%s" (index . 1) -}}
{{- $but := printf "['%s']" (join "', '" (index . 2)) -}}
{{ $new }}.all(field, field in {{ $but }} || field in {{ $old }} && {{ $new }}[field] == {{ $old }}[field]) &&
{{ $old }}.all(field, field in {{ $but }} || field in {{ $new }})
{{- end -}}

{{/* Annotations of the objects that exist only at the end of an uninstallation: its weight, lowest first. */}}
{{- define "seccomp-profile.afterUninstall" -}}
helm.sh/hook: post-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/* Egress only to the API server. No DNS, because the programs use its address (KUBERNETES_SERVICE_HOST). */}}
{{- define "seccomp-profile.toApiServer" -}}
- ports:
    {{- range .Values.networkPolicy.apiServer.ports }}
    - {protocol: TCP, port: {{ . | int }}}
    {{- end }}
  {{- with .Values.networkPolicy.apiServer.cidrs }}
  to:
    {{- range . }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  {{- end }}
{{- end -}}

{{/* Ingress and egress rules of a component's pods: (list $ "operator"). */}}
{{- define "seccomp-profile.networkPolicy" -}}
{{- $root := first . -}}
{{- $component := last . -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "seccomp-profile.name" $root }}-{{ $component }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{- include "seccomp-profile.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ $component }}
spec:
  podSelector:
    matchLabels: {{- include "seccomp-profile.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
    - ports:
        - {protocol: TCP, port: http}
      {{- with $root.Values.networkPolicy.from }}
      from: {{- toYaml . | nindent 8 }}
      {{- end }}
  egress: {{- include "seccomp-profile.toApiServer" $root | nindent 4 }}
{{- end -}}
