{{- define "loadprobe.name" -}}
{{- if contains "loadprobe" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-loadprobe" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "loadprobe.selector" -}}
app.kubernetes.io/name: loadprobe
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "loadprobe.labels" -}}
{{ include "loadprobe.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "loadprobe.configMap" -}}
{{ .Values.existingConfigMap | default (include "loadprobe.name" .) }}
{{- end }}

{{- /* Both pages, each a job of its own: the rules know them by these names. */ -}}
{{- define "loadprobe.endpoints" -}}
- port: http
  path: /metrics
  interval: {{ .interval }}
  relabelings:
    - {targetLabel: job, replacement: loadprobe}
- port: http
  path: /metrics/ms
  interval: {{ .interval }}
  honorTimestamps: true
  relabelings:
    - {targetLabel: job, replacement: loadprobe_ms}
{{- end }}
