# Runs inside a node's new mount namespace, before anything else does. Sourced, never run.

# furnish DIRECTORY: gives the node its own directories, kept below DIRECTORY on the host.
furnish() {
    set -euo pipefail
    local directory
    # Sockets, locks, container state and pods' network namespaces: gone with the node.
    mount -t tmpfs -o mode=755 tmpfs /run
    for directory in kubelet containerd cni; do
        mount --bind "$1/$directory" "/var/lib/$directory"
    done
    mount --bind "$1/log" /var/log
    # As systemd does on a real machine. kubelet refuses `mountPropagation: Bidirectional` below
    # a mount that is not shared. `unshare` cut us off from the host before, so nothing leaks.
    mount --make-rshared /
}
