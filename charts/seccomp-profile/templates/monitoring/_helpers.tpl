{{/* Labels of the objects for the Prometheus operator: (list $ .Values.metrics.podMonitor). */}}
{{- define "seccomp-profile.monitorLabels" -}}
{{- $own := include "seccomp-profile.labels" (first .) | fromYaml -}}
{{ mergeOverwrite dict ((last .).labels | default dict) $own | toYaml }}
{{- end -}}

{{/* The components that serve metrics. */}}
{{- define "seccomp-profile.components" -}}
operator node-agent{{ if (.Values.gate).enabled }} gate{{ end }}{{ if (.Values.admission).enabled }} admission{{ end }}{{ if (.Values.observer).enabled }} observer{{ end }}
{{- end -}}

{{/* Selects the programs, and not the uninstall Job. */}}
{{- define "seccomp-profile.monitored" -}}
matchLabels:
  app.kubernetes.io/name: {{ .Chart.Name }}
  app.kubernetes.io/instance: {{ .Release.Name | quote }}
matchExpressions:
  - {key: app.kubernetes.io/component, operator: In, values: [{{ include "seccomp-profile.components" . | splitList " " | join ", " }}]}
{{- end -}}

{{/* How one pod is scraped: .Values.metrics.podMonitor. */}}
{{- define "seccomp-profile.endpoint" -}}
port: http
path: /metrics
{{- with .interval }}
interval: {{ . }}
{{- end }}
relabelings:
  # An agent's metrics are only useful together with the name of its node.
  - action: replace
    sourceLabels: [__meta_kubernetes_pod_node_name]
    targetLabel: node
{{- end -}}
