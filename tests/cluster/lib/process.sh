# Starting, finding and stopping the cluster's processes, and never anybody else's.
#
# Two records tell ours from others: a pid file that also holds the process's start time (a pid
# alone may be reused), and a control group that every daemon joins before it becomes one and that
# its children inherit. Shims and containers have no pid file, but cannot leave their groups.

# The hierarchies that hold groups: every v1 controller's and, alone or beside them, the one of v2.
cgroup_hierarchies() {
    awk '$3 ~ /^cgroup2?$/ && $2 ~ "^/sys/fs/cgroup" { print $2 }' /proc/self/mounts | sort -u
}

# The hierarchy whose membership we trust for finding processes. On v1 any controller would do;
# pids limits nothing unless asked.
tracking_hierarchy() {
    if [[ -d /sys/fs/cgroup/pids ]]; then echo /sys/fs/cgroup/pids; else echo /sys/fs/cgroup; fi
}

# Groups: secretvault-CLUSTER-daemons/NAME for what we start, secretvault-CLUSTER-NODE for a node's
# containers.
processes_in_group() {
    local group
    group="$(tracking_hierarchy)/$1"
    [[ -d $group ]] || return 0
    find "$group" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -un
}

# daemon NAME CMD…: starts CMD in the background, with its output in a log of that name.
daemon() {
    local name=$1 group
    shift
    group="$(tracking_hierarchy)/secretvault-$CLUSTER-daemons/$name"
    mkdir -p "$group" "$STATE/run" "$STATE/logs"
    # Neither our lock nor a caller's may outlive us in a daemon. setsid: no terminal, no hang-up,
    # no Ctrl-C.
    # shellcheck disable=SC2016
    PATH="$BIN:$PATH" setsid bash -c '
        for fd in /proc/$$/fd/*; do
            ((${fd##*/} <= 2)) || eval "exec ${fd##*/}>&-"
        done
        echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" "$@" \
        </dev/null >>"$STATE/logs/$name.log" 2>&1 &
    echo "$! $(start_time $!)" >"$STATE/run/$name.pid"
    disown $!
}

# Clock ticks between boot and the process's start: field 22, counted after the program's name,
# which may hold blanks and brackets.
start_time() {
    local stat
    stat=$(<"/proc/$1/stat") || return
    read -ra stat <<<"${stat##*) }"
    [[ ${stat[0]} != Z ]] || return
    echo "$(</proc/sys/kernel/random/boot_id)/${stat[19]}"
} 2>/dev/null

# Prints the pid of a daemon of ours that lives; fails for one that does not.
pid_of() {
    local pid started
    read -r pid started 2>/dev/null <"$STATE/run/$1.pid" || return
    [[ $(start_time "$pid") == "$started" ]] || return
    echo "$pid"
}

alive() {
    pid_of "$1" >/dev/null
}

# stop NAME…: asks each daemon to end, waits up to ten seconds, then kills it.
stop() {
    local name pid deadline=$((SECONDS + 10))
    for name in "$@"; do
        ! pid=$(pid_of "$name") || kill -TERM "$pid" 2>/dev/null || true
    done
    for name in "$@"; do
        while pid=$(pid_of "$name"); do
            ((SECONDS < deadline)) || kill -KILL "$pid" 2>/dev/null || true
            sleep 0.05
        done
        rm -f "$STATE/run/$name.pid"
    done
}

# Kills all that a group holds, until it holds nothing.
kill_group() {
    local pids deadline=$((SECONDS + 20))
    while pids=$(processes_in_group "$1") && [[ -n $pids ]]; do
        ((SECONDS < deadline)) || die "processes of $1 do not end: ${pids//$'\n'/ }"
        # shellcheck disable=SC2086
        kill -KILL $pids 2>/dev/null || true
        sleep 0.05
    done
}

remove_group() {
    local hierarchy
    while read -r hierarchy; do
        [[ ! -d $hierarchy/$1 ]] || find "$hierarchy/$1" -depth -type d -exec rmdir {} +
    done < <(cgroup_hierarchies)
}
