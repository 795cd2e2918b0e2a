{{/*
The rights of the operator, in the whole cluster or in each watched namespace. The operator uses every verb;
it has no right to list or watch Secrets.
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
  verbs: [get, list, patch{{ if .Values.rbac.watchWorkloads }}, watch{{ end }}]
- apiGroups: [argoproj.io]
  resources: [rollouts]
  verbs: [get, list, patch{{ if .Values.rbac.watchWorkloads }}, watch{{ end }}]
# Read only: their next run uses the current secrets, so the operator never changes them.
- apiGroups: [batch]
  resources: [cronjobs, jobs]
  verbs: [get, list{{ if .Values.rbac.watchWorkloads }}, watch{{ end }}]
# To compare the creation time of pods with their Secrets, and to name the pods that a rollout waits for.
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
{{- if .Values.rbac.evictPods }}
# For spec.rollout.onReverted: DeletePods.
- apiGroups: [""]
  resources: [pods/eviction]
  verbs: [create]
{{- end }}
# Sync requests to the providers of the workloads' Secrets.
- apiGroups: [secrets.infisical.com]
  resources: [infisicalsecrets, infisicalstaticsecrets]
  verbs: [list, patch]
- apiGroups: [external-secrets.io]
  resources: [externalsecrets]
  verbs: [list, patch]
{{- if .Values.rbac.readSecretStores }}
# Whether an ExternalSecret reads from Infisical. A Role cannot grant the cluster-scoped kind.
- apiGroups: [external-secrets.io]
  resources: [secretstores{{ if not .Values.scopedNamespaces }}, clustersecretstores{{ end }}]
  verbs: [get]
{{- end }}
# By name: the credentials of a subscription, the metadata of the Secrets that its workloads use, and the
# Secrets that the operator writes for it (spec.resync.secrets).
- apiGroups: [""]
  resources: [secrets]
  verbs: [get{{ if .Values.rbac.writeSecrets }}, create, patch{{ end }}]
{{- if .Values.rbac.readConfigMaps }}
# By name: the ConfigMaps that workloads use and that the Infisical operator writes.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
{{- end }}
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
