{{- define "keysweep.name" -}}
{{- $name := .Release.Name -}}
{{- if not (contains .Chart.Name $name) }}{{ $name = printf "%s-%s" $name .Chart.Name }}{{ end -}}
{{- $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "keysweep.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "keysweep.labels" -}}
{{ include "keysweep.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "keysweep.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end -}}

{{- define "keysweep.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "keysweep.name" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- /* The template of pods. root; component; args; listens: whether it has an admin address; state: a volume, or
none; secrets: those of `.Values.secrets` that it gets; nats: a login; restart: the restartPolicy. */ -}}
{{- define "keysweep.pod" -}}
{{- $values := .root.Values -}}
metadata:
  labels:
    {{- include "keysweep.selector" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
    {{- with $values.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  annotations:
    checksum/config: {{ sha256sum $values.config }}
    {{- with $values.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  serviceAccountName: {{ include "keysweep.serviceAccount" .root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  restartPolicy: {{ .restart | default "Always" }}
  # A process that must stop ends within 20 seconds.
  terminationGracePeriodSeconds: 30
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  containers:
    - name: keysweep
      image: {{ include "keysweep.image" .root | quote }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args: {{ toJson .args }}
      env:
        - {name: XDG_STATE_HOME, value: /var/lib/keysweep}
        {{- if .listens }}
        - {name: KEYSWEEP_ADMIN_ADDR, value: "0.0.0.0:9464"}
        {{- end }}
        {{- range .secrets }}
        {{- $secret := index $values.secrets .key }}
        {{- if $secret.name }}
        - {name: {{ .variable }}, value: {{ printf "/etc/keysweep/secrets/%s/%s" .key $secret.key }}}
        {{- end }}
        {{- end }}
        {{- with .nats }}
        {{- if .user }}
        - {name: KEYSWEEP_NATS_USER, value: {{ .user | quote }}}
        {{- end }}
        {{- if .passwordSecret.name }}
        - {name: KEYSWEEP_NATS_PASSWORD_FILE, value: {{ printf "/etc/keysweep/secrets/nats/%s" .passwordSecret.key }}}
        {{- end }}
        {{- end }}
        {{- with $values.extraEnv }}{{ toYaml . | nindent 8 }}{{ end }}
      {{- if .listens }}
      ports:
        - {name: http, containerPort: 9464}
      livenessProbe:
        httpGet: {path: /livez, port: http}
      readinessProbe:
        httpGet: {path: /readyz, port: http}
      {{- end }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      {{- with $values.resources }}
      resources: {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        - {name: config, mountPath: /etc/keysweep, readOnly: true}
        - {name: state, mountPath: /var/lib/keysweep}
        {{- range .secrets }}
        {{- if (index $values.secrets .key).name }}
        - {name: {{ .key | lower }}, mountPath: /etc/keysweep/secrets/{{ .key }}, readOnly: true}
        {{- end }}
        {{- end }}
        {{- if and .nats .nats.passwordSecret.name }}
        - {name: nats, mountPath: /etc/keysweep/secrets/nats, readOnly: true}
        {{- end }}
        {{- with $values.extraVolumeMounts }}{{ toYaml . | nindent 8 }}{{ end }}
  volumes:
    - name: config
      configMap: {name: {{ include "keysweep.name" .root }}}
    {{- if eq (.state | default "") "" }}
    - {name: state, emptyDir: {}}
    {{- else if ne .state "template" }}
    - name: state
      persistentVolumeClaim: {claimName: {{ .state }}}
    {{- end }}
    {{- range .secrets }}
    {{- $secret := index $values.secrets .key }}
    {{- if $secret.name }}
    - name: {{ .key | lower }}
      secret: {secretName: {{ $secret.name }}, defaultMode: 0440}
    {{- end }}
    {{- end }}
    {{- if and .nats .nats.passwordSecret.name }}
    - name: nats
      secret: {secretName: {{ .nats.passwordSecret.name }}, defaultMode: 0440}
    {{- end }}
    {{- with $values.extraVolumes }}{{ toYaml . | nindent 4 }}{{ end }}
  {{- with $values.image.pullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.topologySpreadConstraints }}
  topologySpreadConstraints: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
{{- end -}}

{{- define "keysweep.claim" -}}
accessModes: [ReadWriteOnce]
{{- with .Values.persistence.storageClassName }}
storageClassName: {{ . }}
{{- end }}
resources:
  requests: {storage: {{ .Values.persistence.size }}}
{{- end -}}
