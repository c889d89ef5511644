# A node: a network namespace and a mount namespace, kept by one sleeping process ("NODE-holder").
#
# Nothing is pinned in the file system, so when a node's last process ends, the kernel takes back
# its interfaces, iptables rules and mounts by itself. In its mount namespace a node has its own
# /run, /var/log, /var/lib/kubelet, /var/lib/containerd and /var/lib/cni, so both nodes use the
# default paths, as on two machines: one DaemonSet can serve both.

declare -A NODE_ADDRESS=([node-a]=10.90.0.1 [node-b]=10.90.0.2)
declare -A NODE_PODS=([node-a]=10.244.0.0/24 [node-b]=10.244.1.0/24)
PODS=10.244.0.0/16
SERVICES=10.96.0.0/16
DNS_SERVICE=10.96.0.10

# on_node NODE CMD…: runs CMD where the node's daemons run.
#
# `nsenter` and not `ip netns exec`, which would mount a fresh /sys, where kubelet finds no groups.
on_node() {
    local pid
    pid=$(pid_of "$1-holder") || die "$1 is not running"
    shift
    PATH="$BIN:$PATH" nsenter --net="/proc/$pid/ns/net" --mount="/proc/$pid/ns/mnt" -- "$@"
}

node_daemon() {
    local node=$1 name=$2 pid
    shift 2
    pid=$(pid_of "$node-holder")
    daemon "$name" nsenter --net="/proc/$pid/ns/net" --mount="/proc/$pid/ns/mnt" -- "$@"
}

start_holders() {
    local node linked=yes
    # Without the API server's network all other parts would wait for dead connections to time
    # out, most of a minute; starting everything anew is quicker and keeps etcd's data, too.
    alive node-a-holder || stop_all
    for node in "${NODES[@]}"; do
        alive "$node-holder" && continue
        start_holder "$node"
        linked=
    done
    [[ -n $linked ]] || link_nodes
}

start_holder() {
    local node=$1
    # What outlived its holder runs in a network that nothing new can join.
    stop_node "$node"
    mkdir -p "$STATE/$node"/{kubelet,containerd,cni,log/containers}
    make_mount_points
    daemon "$node-holder" unshare --net --mount --propagation private \
        bash -c 'source "$0" && furnish "$1" && touch /run/furnished && exec sleep infinity' \
        "$CLUSTER_DIR/lib/furnish.sh" "$STATE/$node"
    # The pid stays through every exec, so its namespaces are the node's once it has furnished.
    await 5 "$node's namespaces" test -e "/proc/$(pid_of "$node-holder")/root/run/furnished"
    readlink "/proc/$(pid_of "$node-holder")/ns/net" >>"$STATE/networks"
    create_container_group "secretvault-$CLUSTER-$node"
}

# Mount points must exist on the host; `down` of the last cluster removes those that we made.
make_mount_points() {
    local directory
    mkdir -p "$MACHINE"
    for directory in /var/lib/{kubelet,containerd,cni}; do
        [[ -d $directory ]] || {
            mkdir "$directory"
            echo "$directory" >>"$MACHINE/mount-points"
        }
    done
}

# kubelet expects the group that it is to work under; a cpuset of v1 starts empty and useless.
create_container_group() {
    local hierarchy group file
    while read -r hierarchy; do
        group="$hierarchy/$1"
        mkdir -p "$group"
        for file in cpuset.cpus cpuset.mems; do
            [[ ! -f $hierarchy/$file || ! -f $group/$file ]] || cat "$hierarchy/$file" >"$group/$file"
        done
    done < <(cgroup_hierarchies)
}

link_nodes() {
    local node a b
    # The end of an older link stays for a moment after the other node has gone.
    for node in "${NODES[@]}"; do
        ! on_node "$node" ip link show eth0 &>/dev/null || on_node "$node" ip link delete eth0
    done
    a=$(pid_of node-a-holder)
    b=$(pid_of node-b-holder)
    ip link add eth0 netns "$a" type veth peer name eth0 netns "$b"
    address_node node-a node-b
    address_node node-b node-a
}

address_node() {
    local node=$1 peer=$2
    on_node "$node" bash -euc '
        ip link set lo up
        ip address add "$1/24" dev eth0
        ip link set eth0 up
        ip route replace "$2" via "$3"
        # kube-proxy rewrites service addresses, but only for packets that have a route.
        ip route replace "$4" dev eth0
        sysctl -qw net.ipv4.ip_forward=1
        # Pods of one bridge that talk through a service need the way back rewritten, too.
        [[ ! -e /proc/sys/net/bridge ]] || sysctl -qw net.bridge.bridge-nf-call-iptables=1
    ' bash "${NODE_ADDRESS[$node]}" "${NODE_PODS[$peer]}" "${NODE_ADDRESS[$peer]}" "$SERVICES"
}

# Ends all of a node but its namespaces' holder: kubelet first, or it would start containers again.
stop_node() {
    stop "$1-kubelet" "$1-kube-proxy"
    kill_group "secretvault-$CLUSTER-$1"
    stop "$1-containerd"
    kill_group "secretvault-$CLUSTER-daemons/$1-containerd"
}

start_containerd() {
    local node=$1
    alive "$node-containerd" && return
    render "$CLUSTER_DIR/config/cni.json" "$node" >"$STATE/$node/cni.conflist"
    on_node "$node" install -D -m 600 "$STATE/$node/cni.conflist" /run/cni/net.d/10-pods.conflist
    node_daemon "$node" "$node-containerd" containerd --config "$CLUSTER_DIR/config/containerd.toml"
}

start_kubelet() {
    local node=$1
    alive "$node-kubelet" && return
    render "$CLUSTER_DIR/config/kubelet.yaml" "$node" >"$STATE/$node/kubelet.yaml"
    echo "nameserver $DNS_SERVICE" >"$STATE/resolv.conf"
    node_daemon "$node" "$node-kubelet" kubelet \
        --config="$STATE/$node/kubelet.yaml" \
        --kubeconfig="$STATE/pki/$node.kubeconfig" \
        --root-dir=/var/lib/kubelet \
        --hostname-override="$node" \
        --node-ip="${NODE_ADDRESS[$node]}"
}

start_kube_proxy() {
    local node=$1
    alive "$node-kube-proxy" && return
    # Connection tracking limits are the machine's, not ours to change.
    node_daemon "$node" "$node-kube-proxy" kube-proxy \
        --kubeconfig="$STATE/pki/kube-proxy.kubeconfig" \
        --hostname-override="$node" \
        --proxy-mode=iptables \
        --cluster-cidr="$PODS" \
        --conntrack-max-per-core=0
}

# Fills in what differs between nodes.
render() {
    sed -e "s|@NODE@|$2|g" -e "s|@PODS@|${NODE_PODS[$2]}|g" -e "s|@DNS@|$DNS_SERVICE|g" \
        -e "s|@STATE@|$STATE|g" -e "s|@CLUSTER@|$CLUSTER|g" "$1"
}
