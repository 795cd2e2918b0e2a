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
  verbs: [list, patch]
# The credentials that a subscription names, one by one.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
# Tokens for spec.authentication.kubernetesAuth.
- apiGroups: [""]
  resources: [serviceaccounts/token]
  verbs: [create]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end }}
