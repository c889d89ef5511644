# The whole cluster: what it consists of, in which order it stops, and how its absence is proven.

CONTROL_PLANE=(etcd kube-apiserver kube-controller-manager kube-scheduler)

daemons() {
    local node
    printf '%s\n' "${CONTROL_PLANE[@]}"
    for node in "${NODES[@]}"; do
        printf '%s\n' "$node-holder" "$node-containerd" "$node-kubelet" "$node-kube-proxy"
    done
}

all_alive() {
    local name
    while read -r name; do
        alive "$name" || return
    done < <(daemons)
}

# Ends every process of ours, in an order in which none waits for another.
stop_all() {
    local node
    for node in "${NODES[@]}"; do
        stop_node "$node"
    done
    stop_control_plane
    stop "${NODES[@]/%/-holder}"
    # What a crash or a kill -9 left without a pid file.
    kill_group "secretvault-$CLUSTER-daemons"
    for node in "${NODES[@]}"; do
        remove_group "secretvault-$CLUSTER-$node"
    done
    remove_group "secretvault-$CLUSTER-daemons"
}

# kubelet and kube-proxy set these for the whole machine; `down` of the last cluster puts back what it
# finds here.
MACHINE_SETTINGS=(vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops
    kernel.keys.root_maxkeys kernel.keys.root_maxbytes)

remember_machine_settings() {
    mkdir -p "$MACHINE"
    [[ -e $MACHINE/sysctl ]] || sysctl "${MACHINE_SETTINGS[@]}" >"$MACHINE/sysctl"
}

restore_machine_settings() {
    [[ ! -e $MACHINE/sysctl ]] || sysctl --quiet --load="$MACHINE/sysctl"
}

# Prints whatever of the cluster still exists on this machine, one thing a line.
leftovers() {
    local node hierarchy pid
    for pid in $(processes_in_group "secretvault-$CLUSTER-daemons"; for node in "${NODES[@]}"; do
        processes_in_group "secretvault-$CLUSTER-$node"; done); do
        echo "process $pid: $(tr '\0' ' ' <"/proc/$pid/cmdline")"
    done
    awk -v state="$STATE" 'index($2, state "/") == 1 { print "mount " $2 }' /proc/self/mounts
    while read -r hierarchy; do
        find "$hierarchy" -maxdepth 1 -name "secretvault-$CLUSTER-*" -printf 'control group %p\n'
    done < <(cgroup_hierarchies)
    # A process that somebody started with `enter` and that still runs holds a network alive.
    for pid in $(foreign_inhabitants); do
        echo "process $pid, not ours, in a node's network: $(tr '\0' ' ' <"/proc/$pid/cmdline")"
    done
}

foreign_inhabitants() {
    [[ -e $STATE/networks ]] || return 0
    { find /proc -maxdepth 3 -path '/proc/[0-9]*/ns/net' -printf '%p %l\n' 2>/dev/null || true; } |
        { grep -F -f "$STATE/networks" || true; } | cut -d/ -f3
}
