{{/* The name of the chart, or nameOverride. */}}
{{- define "infisical-events.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/*
The name of all objects of the release; the name of the release if it contains the name of the chart. The
name of a release may have dots; the names of Services and --lease-name may not.
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

{{/* These labels never change during the life of a release: the selector of a Deployment is immutable. */}}
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

{{/* The labels of the chart, overridden by more labels: (list $ labels). */}}
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
