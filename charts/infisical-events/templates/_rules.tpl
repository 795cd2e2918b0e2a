{{/*
All that the operator may do, in the whole cluster or in each watched namespace. Every verb is one
that the operator uses; there is none to list or watch Secrets.
*/}}
{{- define "infisical-events.rules" -}}
- apiGroups: [events.infisical.com]
  resources: [infisicaleventsubscriptions]
  verbs: [get, list, watch]
- apiGroups: [events.infisical.com]
  resources: [infisicaleventsubscriptions/status]
  verbs: [patch]
- apiGroups: [apps]
  resources: [deployments, statefulsets, daemonsets]
  verbs: [get, list, patch]
- apiGroups: [argoproj.io]
  resources: [rollouts]
  verbs: [get, list, patch]
# Their next run is fresh: they are looked at and never changed.
- apiGroups: [batch]
  resources: [cronjobs, jobs]
  verbs: [get, list]
# Whether pods are younger than their secrets.
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
# Who writes the Secrets of the workloads is asked to sync.
- apiGroups: [secrets.infisical.com]
  resources: [infisicalsecrets, infisicalstaticsecrets]
  verbs: [list, patch]
- apiGroups: [external-secrets.io]
  resources: [externalsecrets]
  verbs: [list, patch]
# By name: the credentials that a subscription names, the metadata of Secrets that its workloads use, and
# the Secrets that it has the operator write (spec.resync.secrets).
- apiGroups: [""]
  resources: [secrets]
  verbs: [get{{ if .Values.rbac.writeSecrets }}, create, patch{{ end }}]
{{- if .Values.rbac.serviceAccountTokens }}
# Tokens for spec.authentication.kubernetesAuth.
- apiGroups: [""]
  resources: [serviceaccounts/token]
  verbs: [create]
{{- end }}
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end }}
