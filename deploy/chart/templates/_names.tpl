{{- define "router.name" -}}
{{- $chart := .Values.nameOverride | default .Chart.Name }}
{{- $name := contains $chart .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $chart) }}
{{- .Values.fullnameOverride | default $name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "router.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "router.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ include "router.selector" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "router.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "router.name" .) }}{{ else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{/* Not empty if the admin port listens on all addresses of the pod. */}}
{{- define "router.adminIsOpen" -}}
{{- if or .Values.admin.tokens .Values.admin.existingSecret }}true{{ end }}
{{- end }}

{{- define "router.tokenSecret" -}}
{{- .Values.admin.existingSecret | default (printf "%s-tokens" (include "router.name" .)) }}
{{- end }}

{{/* The ConfigMap with router.toml. */}}
{{- define "router.settings" -}}
{{ .Values.existingConfigMap | default (include "router.name" .) }}
{{- end }}

{{- define "router.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}{{ else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{/* Host names of the admin port, as JSON. The pod's own address is filled in by Kubernetes. */}}
{{- define "router.allowedHosts" -}}
{{- $service := printf "%s-admin" (include "router.name" .) }}
{{- $hosts := list (ternary "[$(POD_IP)]" "$(POD_IP)" .Values.ipv6) "127.0.0.1" $service (printf "%s.%s" $service .Release.Namespace) (printf "%s.%s.svc" $service .Release.Namespace) }}
{{- concat $hosts .Values.admin.allowedHosts | toJson }}
{{- end }}

{{/* Every address of the pod. [::] needs IPv6 in the kernel of the node. */}}
{{- define "router.anyAddress" -}}
{{ ternary "[::]" "0.0.0.0" .Values.ipv6 }}
{{- end }}
