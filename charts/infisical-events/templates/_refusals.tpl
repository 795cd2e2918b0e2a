{{/*
What a schema cannot say about the values: each is refused with a sentence before anything is installed,
and not by the operator's first breath or halfway by the API server.
*/}}
{{- define "infisical-events.refusals" -}}
{{- if and .Values.rbac.create (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) }}
{{- fail "serviceAccount.create=false needs serviceAccount.name: otherwise the rights of the operator would go to the ServiceAccount `default`, and to each pod of the namespace that names none" }}
{{- end }}
{{- with .Values.defaultAddress }}
{{- if ne "true" (include "infisical-events.isAllowed" (list . $.Values.allowedAddresses)) }}
{{- fail (printf "defaultAddress %s is matched by no entry of allowedAddresses (%s), so the operator would send no credentials there: add it to allowedAddresses" . (join ", " (include "infisical-events.allowed" $.Values.allowedAddresses | fromJsonArray))) }}
{{- end }}
{{- end }}
{{- range .Values.allowedNetworks }}
{{- if eq "true" (include "infisical-events.hasHostBits" .) }}
{{- fail (printf "allowedNetworks: %s is an address within a network: write the network's first address before the slash, or the address alone" .) }}
{{- end }}
{{- end }}
{{- range list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "app.kubernetes.io/component" "helm.sh/chart" }}
{{- if hasKey $.Values.commonLabels . }}
{{- fail (printf "commonLabels: %s is the chart's own label: leave it out" .) }}
{{- end }}
{{- end }}
{{- range list "app.kubernetes.io/name" "app.kubernetes.io/instance" }}
{{- if hasKey $.Values.podLabels . }}
{{- fail (printf "podLabels: by %s the operator's pods are selected: leave that label to the chart (nameOverride)" .) }}
{{- end }}
{{- end }}
{{- include "infisical-events.once" (list "extraEnv" "name" .Values.extraEnv) }}
{{- include "infisical-events.once" (list "extraVolumes" "name" .Values.extraVolumes) }}
{{- include "infisical-events.once" (list "extraVolumeMounts" "mountPath" .Values.extraVolumeMounts) }}
{{- end }}

{{/* The patterns of addresses that the operator allows, as JSON; its own are those of Infisical Cloud. */}}
{{- define "infisical-events.allowed" -}}
{{- default (list "https://app.infisical.com" "https://us.infisical.com" "https://eu.infisical.com") . | toJson }}
{{- end }}

{{/* "true" if an address is matched by the patterns, as the operator matches them: (list address patterns). */}}
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

{{/* "true" if an IPv4 network is not written with its first address. */}}
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

{{/* Refuses what the API server would call a duplicate: (list value key items). */}}
{{- define "infisical-events.once" -}}
{{- $known := list }}
{{- range (index . 2) }}
{{- $name := get . (index $ 1) }}
{{- if has $name $known }}
{{- fail (printf "%s has %s twice: leave one of them out" (index $ 0) $name) }}
{{- end }}
{{- $known = append $known $name }}
{{- end }}
{{- end }}
