# etcd, API server, controller manager and scheduler: processes in the first node's network.

start_etcd() {
    alive etcd && return
    launch_etcd
    if ! etcd_answers; then
        # It reads a log that was cut by a power failure, or by a full disk, as we do not sync.
        say "  etcd cannot use its data (see $STATE/logs/etcd.log): starting with none"
        stop_all
        rm -rf "$STATE/etcd"
        start_holders
        launch_etcd
        etcd_answers || die "etcd does not start: see $STATE/logs/etcd.log"
    fi
}

launch_etcd() {
    mkdir -p -m 700 "$STATE/etcd"
    node_daemon node-a etcd etcd \
        --name=secretvault \
        --data-dir="$STATE/etcd" \
        --listen-client-urls=http://127.0.0.1:2379 \
        --advertise-client-urls=http://127.0.0.1:2379 \
        --listen-peer-urls=http://127.0.0.1:2380 \
        --initial-advertise-peer-urls=http://127.0.0.1:2380 \
        --initial-cluster=secretvault=http://127.0.0.1:2380 \
        --unsafe-no-fsync
}

etcd_answers() {
    local deadline=$((SECONDS + 30))
    while alive etcd && ((SECONDS < deadline)); do
        port_answers 2379 && return
        sleep 0.1
    done
    return 1
}

port_answers() {
    on_node node-a bash -c "exec 3<>/dev/tcp/127.0.0.1/$1" &>/dev/null
}

start_apiserver() {
    alive kube-apiserver && return
    mkdir -p -m 700 "$STATE/audit"
    local pki="$STATE/pki"
    render "$CLUSTER_DIR/config/admission.yaml" node-a >"$STATE/admission.yaml"
    node_daemon node-a kube-apiserver kube-apiserver \
        --advertise-address="$API_ADDRESS" \
        --secure-port=6443 \
        --tls-cert-file="$pki/apiserver.crt" \
        --tls-private-key-file="$pki/apiserver.key" \
        --client-ca-file="$pki/ca.crt" \
        --etcd-servers=http://127.0.0.1:2379 \
        --service-cluster-ip-range="$SERVICES" \
        --authorization-mode=Node,RBAC \
        --enable-admission-plugins=NodeRestriction \
        --admission-control-config-file="$STATE/admission.yaml" \
        --allow-privileged=true \
        --service-account-issuer=https://kubernetes.default.svc.cluster.local \
        --service-account-key-file="$pki/service-account.pub" \
        --service-account-signing-key-file="$pki/service-account.key" \
        --kubelet-certificate-authority="$pki/ca.crt" \
        --kubelet-client-certificate="$pki/apiserver-kubelet-client.crt" \
        --kubelet-client-key="$pki/apiserver-kubelet-client.key" \
        --kubelet-preferred-address-types=InternalIP \
        --requestheader-client-ca-file="$pki/front-proxy-ca.crt" \
        --requestheader-allowed-names=front-proxy-client \
        --requestheader-extra-headers-prefix=X-Remote-Extra- \
        --requestheader-group-headers=X-Remote-Group \
        --requestheader-username-headers=X-Remote-User \
        --proxy-client-cert-file="$pki/front-proxy-client.crt" \
        --proxy-client-key-file="$pki/front-proxy-client.key" \
        --audit-policy-file="$CLUSTER_DIR/../../docs/audit-policy.yaml" \
        --audit-log-path="$STATE/audit/audit.log" \
        --audit-log-mode=blocking \
        --audit-log-maxsize=4096
}

start_controller_manager() {
    alive kube-controller-manager && return
    local pki="$STATE/pki"
    node_daemon node-a kube-controller-manager kube-controller-manager \
        --kubeconfig="$pki/kube-controller-manager.kubeconfig" \
        --authentication-kubeconfig="$pki/kube-controller-manager.kubeconfig" \
        --authorization-kubeconfig="$pki/kube-controller-manager.kubeconfig" \
        --use-service-account-credentials=true \
        --service-account-private-key-file="$pki/service-account.key" \
        --root-ca-file="$pki/ca.crt" \
        --cluster-signing-cert-file="$pki/ca.crt" \
        --cluster-signing-key-file="$pki/ca.key" \
        --leader-elect=false
}

start_scheduler() {
    alive kube-scheduler && return
    local pki="$STATE/pki"
    node_daemon node-a kube-scheduler kube-scheduler \
        --kubeconfig="$pki/kube-scheduler.kubeconfig" \
        --authentication-kubeconfig="$pki/kube-scheduler.kubeconfig" \
        --authorization-kubeconfig="$pki/kube-scheduler.kubeconfig" \
        --leader-elect=false
}

# The API server stops before etcd, or it spends its grace period waiting for it.
stop_control_plane() {
    stop kube-scheduler kube-controller-manager kube-apiserver
    stop etcd
}

cluster_kubectl() {
    on_node node-a env KUBECONFIG="$STATE/kubeconfig" KUBECACHEDIR="$STATE/kubectl-cache" kubectl "$@"
}

api_ready() {
    cluster_kubectl get --raw /readyz
}

nodes_ready() {
    cluster_kubectl wait nodes "${NODES[@]}" --for=condition=Ready --timeout=1s
}

# Asks instead of reading the Deployment's status, which stays good for a while after a node died.
dns_ready() {
    local node
    for node in "${NODES[@]}"; do
        on_node "$node" timeout 2 busybox nslookup kubernetes.default.svc.cluster.local "$DNS_SERVICE" || return
    done
}
