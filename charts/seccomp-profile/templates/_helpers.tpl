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

{{/* Validations that restrict an account's right to patch profiles: (list "the operator"). */}}
{{- define "seccomp-profile.finalizerOnly" -}}
{{- $who := first . -}}
- expression: request.operation == 'UPDATE'
  message: {{ $who }} neither creates nor deletes a profile
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
