{{/* The name of the chart, or what the user calls it. */}}
{{- define "infisical-events.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/*
The name of all objects of the release; the release's own name where it says enough. A release's name may
have dots, which the names of Services and the operator's --lease-name may not.
*/}}
{{- define "infisical-events.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride }}
{{- else if contains (include "infisical-events.name" .) .Release.Name }}
{{- .Release.Name | replace "." "-" | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "infisical-events.name" .) | replace "." "-" | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "infisical-events.service" -}}
{{- include "infisical-events.fullname" . | trunc 55 | trimSuffix "-" }}-metrics
{{- end }}

{{- define "infisical-events.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "infisical-events.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* What never changes in the life of a release: a Deployment's selector is immutable. */}}
{{- define "infisical-events.selectorLabels" -}}
app.kubernetes.io/name: {{ include "infisical-events.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "infisical-events.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "infisical-events.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* These labels and more, which win: (list $ labels). */}}
{{- define "infisical-events.labelsAnd" -}}
{{- merge (dict) (index . 1) (include "infisical-events.labels" (index . 0) | fromYaml) | toYaml }}
{{- end }}

{{- define "infisical-events.digestKeySecret" -}}
{{- default "infisical-events-digest-key" .Values.digestKeySecret }}
{{- end }}

{{- define "infisical-events.image" -}}
{{- $image := printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- if .Values.image.digest }}
{{- $image = printf "%s@%s" $image .Values.image.digest }}
{{- end }}
{{- $image }}
{{- end }}
