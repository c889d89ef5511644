# Names and small tools that every command here shares. Sourced, never run.

# CI may start us with nearly no environment; go, buildah and our cache want a home.
export HOME="${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}"
export LC_ALL=C.UTF-8
# What is written in Go, in the cluster and around it: processors are scarcer here than memory.
export GOGC=400
# ctr would repeat at each call that containerd finds cgroup v1 old.
export CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS=1

CLUSTER_DIR="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
CACHE="${SECRETVAULT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/secretvault}"
BIN="$CACHE/bin"
# A machine may have several clusters: this names another than the usual one.
CLUSTER="${SECRETVAULT_CLUSTER:-cluster}"
STATE="/var/lib/secretvault-$CLUSTER"
# What all of them share, as they share the machine.
MACHINE=/var/lib/secretvault-machine
NODES=(node-a node-b)

die() {
    echo "error: $*" >&2
    exit 1
}

say() {
    printf '%s\n' "$*"
}

# Runs a function or command as one line of progress: its title, then the seconds it took.
# Never call a step after `||` or `if`: bash would ignore every failure inside it.
step() {
    local started=${EPOCHREALTIME/./} tenths
    STEP=$1
    shift
    "$@"
    tenths=$(((${EPOCHREALTIME/./} - started) / 100000))
    printf '  %-52s %4d.%d s\n' "$STEP" $((tenths / 10)) $((tenths % 10))
    STEP=
}

[[ $CLUSTER =~ ^[a-z]+$ && $CLUSTER != machine ]] ||
    die "SECRETVAULT_CLUSTER is \"$CLUSTER\": name a cluster with small letters"

set -E
trap 'echo "error: ${STEP:-$0}: ${BASH_SOURCE[0]##*/} line $LINENO: $BASH_COMMAND" >&2' ERR

need_root() {
    [[ $EUID -eq 0 ]] || die "$1 needs root (network namespaces, mounts, containers): run it with sudo"
}

# Polls a quiet command until it succeeds: await SECONDS WHAT CMD…
await() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" &>/dev/null; do
        ((SECONDS < deadline)) || die "$what: not in time; the logs are in $STATE/logs"
        sleep 0.1
    done
}

# Lets one invocation at a time build, start or stop; developers share a machine.
# The lock is advisory and must not leak into daemons, so every daemon closes descriptor 9.
hold_lock() {
    mkdir -p "$CACHE"
    exec 9>"$CACHE/$1.lock"
    flock --nonblock 9 || {
        say "waiting for another $1 command to finish"
        flock 9
    }
}
