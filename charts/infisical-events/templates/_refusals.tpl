{{/*
Checks of values that a schema cannot express. Each fails with a message before the installation, instead of
at the start of the operator or halfway by the API server.
*/}}
{{- define "infisical-events.refusals" -}}
{{- if and .Values.rbac.create (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) }}
{{- fail "serviceAccount.create=false requires serviceAccount.name: otherwise the ServiceAccount `default`, and with it all pods without a ServiceAccount of their own, would get the rights of the operator" }}
{{- end }}
{{- with .Values.defaultAddress }}
{{- if ne "true" (include "infisical-events.isAllowed" (list . $.Values.allowedAddresses)) }}
{{- fail (printf "defaultAddress %s does not match allowedAddresses (%s), so the operator would not send credentials to it: add it to allowedAddresses" . (join ", " (include "infisical-events.allowed" $.Values.allowedAddresses | fromJsonArray))) }}
{{- end }}
{{- end }}
{{- range .Values.allowedNetworks }}
{{- if eq "true" (include "infisical-events.hasHostBits" .) }}
{{- fail (printf "allowedNetworks: %s has host bits set: use the first address of the network before the slash, or a single address" .) }}
{{- end }}
{{- end }}
{{- range list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "app.kubernetes.io/component" "helm.sh/chart" }}
{{- if hasKey $.Values.commonLabels . }}
{{- fail (printf "commonLabels: the chart itself sets the label %s: remove it" .) }}
{{- end }}
{{- end }}
{{- range list "app.kubernetes.io/name" "app.kubernetes.io/instance" }}
{{- if hasKey $.Values.podLabels . }}
{{- fail (printf "podLabels: the label %s selects the operator's pods: remove it and use nameOverride" .) }}
{{- end }}
{{- end }}
{{- include "infisical-events.once" (list "extraEnv" "name" .Values.extraEnv) }}
{{- include "infisical-events.once" (list "extraVolumes" "name" .Values.extraVolumes) }}
{{- include "infisical-events.once" (list "extraVolumeMounts" "mountPath" .Values.extraVolumeMounts) }}
{{- end }}

{{/* The patterns of allowed addresses, as JSON; the default patterns are those of Infisical Cloud. */}}
{{- define "infisical-events.allowed" -}}
{{- default (list "https://app.infisical.com" "https://us.infisical.com" "https://eu.infisical.com") . | toJson }}
{{- end }}

{{/* "true" if an address matches one of the patterns, by the rules of the operator: (list address patterns). */}}
{{- define "infisical-events.isAllowed" -}}
{{- $origin := regexReplaceAll "/+$" (index . 0 | lower) "" }}
{{- $origin = regexReplaceAll "^(https://.*):443$" $origin "${1}" }}
{{- $origin = regexReplaceAll "^(http://.*):80$" $origin "${1}" }}
{{- $found := false }}
{{- range (include "infisical-events.allowed" (index . 1) | fromJsonArray) }}
{{- $pattern := lower . | regexQuoteMeta | replace "\\*" ".*" | replace "\\?" "." }}
{{- if regexMatch (printf "^%s$" $pattern) $origin }}
{{- $found = true }}
{{- end }}
{{- end }}
{{- $found }}
{{- end }}

{{/* "true" if an IPv4 network has host bits set. */}}
{{- define "infisical-events.hasHostBits" -}}
{{- $found := false }}
{{- if regexMatch "^[0-9.]+/[0-9]+$" . }}
{{- $parts := splitList "/" . }}
{{- $number := 0 }}
{{- range splitList "." (index $parts 0) }}
{{- $number = add (mul $number 256) (int .) }}
{{- end }}
{{- $size := 1 }}
{{- range until (sub 32 (int (index $parts 1)) | int) }}
{{- $size = mul $size 2 }}
{{- end }}
{{- $found = ne 0 (mod $number $size | int) }}
{{- end }}
{{- $found }}
{{- end }}

{{/* Fails for items that the API server would reject as duplicates: (list value key items). */}}
{{- define "infisical-events.once" -}}
{{- $known := list }}
{{- range (index . 2) }}
{{- $name := get . (index $ 1) }}
{{- if has $name $known }}
{{- fail (printf "%s has %s twice: remove one of them" (index $ 0) $name) }}
{{- end }}
{{- $known = append $known $name }}
{{- end }}
{{- end }}
