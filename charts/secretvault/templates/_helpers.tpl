{{/*
Labels that select a part's pods. They cannot change after the install.
Called with (dict "part" "operator" "root" $).
*/}}
{{- define "secretvault.selector" -}}
app.kubernetes.io/name: secretvault
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{/*
Labels of every object. Called with (dict "part" "operator" "root" $).
*/}}
{{- define "secretvault.labels" -}}
{{ include "secretvault.selector" . }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: secretvault
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/*
Labels of an object that Prometheus or Grafana finds by its labels.
Called with (dict "part" "operator" "root" $).
*/}}
{{- define "secretvault.monitoringLabels" -}}
{{ include "secretvault.labels" . }}
{{- with .root.Values.monitoring.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/*
Labels of a part's pods: without versions, so that a chart that changes nothing restarts nothing.
Called with (dict "part" "operator" "labels" .Values.operator.podLabels "root" $).
*/}}
{{- define "secretvault.podLabels" -}}
{{ include "secretvault.selector" . }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/part-of: secretvault
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- with .labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/*
The mutating webhook configuration. The API server calls webhooks in the order of their
configurations' names, and whoever is called before ours sees plaintext: so ours sorts first.
*/}}
{{- define "secretvault.webhookConfiguration" -}}
00-secretvault
{{- end }}

{{/*
Namespaces whose pods get no volume from their annotations, as a list.
*/}}
{{- define "secretvault.excludedNamespaces" -}}
{{- concat (list "kube-system" .Release.Namespace) .Values.webhook.excludedNamespaces | uniq | toYaml -}}
{{- end }}

{{/*
An image reference. Called with (dict "image" .Values.operator.image "root" $).
*/}}
{{- define "secretvault.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/*
Annotations of a part's pods. Called with (dict "container" "operator" "own" .Values.operator.podAnnotations "root" $).
*/}}
{{- define "secretvault.podAnnotations" -}}
{{- $annotations := dict "kubectl.kubernetes.io/default-container" .container -}}
{{- if .root.Values.metrics.scrapeAnnotations -}}
{{- $scrape := dict "prometheus.io/scrape" "true" "prometheus.io/port" "8080" "prometheus.io/path" "/metrics" -}}
{{- $annotations = mergeOverwrite $annotations $scrape -}}
{{- end -}}
{{- mergeOverwrite $annotations .root.Values.podAnnotations .own | toYaml -}}
{{- end }}

{{/*
The authorities of the API servers' client certificates, and the ConfigMap that holds them. A release of
before has no such value, and --reuse-values keeps it so.
*/}}
{{- define "secretvault.clientCa" -}}
{{- trim (.Values.webhook.clientCa | default "") -}}
{{- end }}
{{- define "secretvault.webhookClientCa" -}}
secretvault-webhook-client-ca-{{ include "secretvault.clientCa" . | sha256sum | trunc 8 }}
{{- end }}

{{/*
A quantity (123, 1Ki, 2Mi, 3Gi: the schema admits no others) in bytes.
*/}}
{{- define "secretvault.bytes" -}}
{{- $quantity := toString . -}}
{{- $number := regexFind "^[0-9]+" $quantity | int64 -}}
{{- if hasSuffix "Gi" $quantity -}}{{ mul $number 1073741824 }}
{{- else if hasSuffix "Mi" $quantity -}}{{ mul $number 1048576 }}
{{- else if hasSuffix "Ki" $quantity -}}{{ mul $number 1024 }}
{{- else -}}{{ $number }}
{{- end -}}
{{- end }}

{{/*
The agent's memory limit. What the agent writes to a volume stays charged to its pod, also after the
process that wrote it died: with a limit that leaves no room for all volumes at once, its successor
would be killed on start, over and over.
*/}}
{{- define "secretvault.agentMemoryLimit" -}}
{{- add (include "secretvault.bytes" .Values.agent.nodeBudget | int64) (include "secretvault.bytes" .Values.agent.workingSet | int64) -}}
{{- end }}

{{/*
"true" if kubelet hands pods' tokens over as secrets. Both sides must agree: a pod's author can write
any volume attribute, so the agent reads the token from one place only.
*/}}
{{- define "secretvault.tokensInSecrets" -}}
{{- $choice := toString .Values.csiDriver.tokensInSecrets -}}
{{- if eq $choice "auto" -}}
{{ semverCompare ">=1.35.0-0" .Capabilities.KubeVersion.Version }}
{{- else -}}
{{ $choice }}
{{- end -}}
{{- end }}

{{/*
Ports of a NetworkPolicy rule: DNS.
*/}}
{{- define "secretvault.dnsPorts" -}}
{{- range .Values.networkPolicy.dnsPorts }}
- port: {{ . }}
  protocol: UDP
- port: {{ . }}
  protocol: TCP
{{- end }}
{{- end }}
