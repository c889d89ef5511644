# The cluster's certificates, keys and kubeconfigs, in $STATE/pki. Made once; a test cluster lives
# shorter than they do.

API_ADDRESS=10.90.0.1
API_SERVICE=10.96.0.1

make_pki() {
    local pki="$STATE/pki" node
    [[ ! -e $pki/complete ]] || return 0
    rm -rf "$pki"
    mkdir -m 700 "$pki"

    authority ca kubernetes
    # Requests that the API server forwards to extension servers are vouched for by another
    # authority, or every client certificate could forge their user headers.
    authority front-proxy-ca front-proxy
    certificate front-proxy-ca front-proxy-client "/CN=front-proxy-client"
    # And so is what the API server shows to webhooks: what others have of its own authority counts for
    # nothing there.
    authority webhook-client-ca webhook-clients
    certificate webhook-client-ca apiserver-webhook-client "/CN=kube-apiserver"
    webhook_client apiserver-webhook-client secretvault-operator.secretvault-system.svc

    certificate ca apiserver "/CN=kube-apiserver" \
        "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:$API_SERVICE,IP:$API_ADDRESS,IP:127.0.0.1"
    certificate ca apiserver-kubelet-client "/O=system:masters/CN=kube-apiserver-kubelet-client"
    openssl genrsa -out "$pki/service-account.key" 2048 2>/dev/null
    openssl rsa -in "$pki/service-account.key" -pubout -out "$pki/service-account.pub" 2>/dev/null

    client admin "/O=system:masters/CN=admin"
    client kube-controller-manager "/CN=system:kube-controller-manager"
    client kube-scheduler "/CN=system:kube-scheduler"
    client kube-proxy "/CN=system:kube-proxy"
    for node in "${NODES[@]}"; do
        client "$node" "/O=system:nodes/CN=system:node:$node"
        certificate ca "$node-serving" "/CN=$node" "DNS:$node,IP:${NODE_ADDRESS[$node]}"
    done
    install -m 600 "$pki/admin.kubeconfig" "$STATE/kubeconfig"
    touch "$pki/complete"
}

authority() {
    new_key "$1"
    openssl req -x509 -new -key "$STATE/pki/$1.key" -subj "/CN=$2" -days 365 -out "$STATE/pki/$1.crt" \
        -addext "keyUsage=critical,keyCertSign,cRLSign"
}

# certificate AUTHORITY NAME SUBJECT [ALTERNATIVE-NAMES]: serves and authenticates alike.
certificate() {
    local pki="$STATE/pki" extensions="extendedKeyUsage=clientAuth,serverAuth"
    [[ -z ${4:-} ]] || extensions+=$'\n'"subjectAltName=$4"
    new_key "$2"
    openssl req -new -key "$pki/$2.key" -subj "$3" |
        openssl x509 -req -CA "$pki/$1.crt" -CAkey "$pki/$1.key" -days 365 -out "$pki/$2.crt" \
            -extfile <(echo "$extensions") 2>/dev/null
}

new_key() {
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$STATE/pki/$1.key"
}

# webhook_client CERTIFICATE WEBHOOK: what the API server proves itself with to a webhook.
webhook_client() {
    local pki="$STATE/pki"
    cat >"$pki/webhooks.kubeconfig" <<YAML
apiVersion: v1
kind: Config
users:
  - name: $2
    user:
      client-certificate: $pki/$1.crt
      client-key: $pki/$1.key
YAML
}

# client NAME SUBJECT: a certificate, and a kubeconfig that holds all it needs.
client() {
    local pki="$STATE/pki"
    certificate ca "$1" "$2"
    cat >"$pki/$1.kubeconfig" <<YAML
apiVersion: v1
kind: Config
current-context: secretvault
contexts: [{ name: secretvault, context: { cluster: secretvault, user: $1 } }]
clusters:
  - name: secretvault
    cluster:
      server: https://$API_ADDRESS:6443
      certificate-authority-data: $(base64 -w0 "$pki/ca.crt")
users:
  - name: $1
    user:
      client-certificate-data: $(base64 -w0 "$pki/$1.crt")
      client-key-data: $(base64 -w0 "$pki/$1.key")
YAML
}
