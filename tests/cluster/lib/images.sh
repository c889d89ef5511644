# Building images without pulling any, and putting them into both nodes' containerd.
#
# An image is known by the digest of its inputs: what did not change is neither built nor imported.

IMAGES="$CACHE/images"

# build_image NAME CONTEXT CONTAINERFILE: writes the image as an OCI archive, unless it exists.
build_image() {
    local name=$1 context=$2 containerfile=$3 file inputs
    file=$(archive_of "$name")
    inputs=$(digest_of_inputs "$@")
    [[ ! -f $file || ! -f $file.inputs || $(<"$file.inputs") != "$inputs" ]] || return 0
    mkdir -p "$IMAGES"
    rm -f "$file" "$file.inputs"
    # chroot: copying files needs no container, and works inside one. The time is fixed so that
    # equal inputs make an equal image.
    store bud --quiet --isolation chroot --timestamp 0 --layers=false \
        --file "$containerfile" --tag "$name" "$context" >"$IMAGES/buildah.log" 2>&1 </dev/null || {
        cat "$IMAGES/buildah.log" >&2
        return 1
    }
    store push --quiet --digestfile "$file.digest" "$name" "oci-archive:$file:$name" </dev/null
    store rmi --all --force >/dev/null </dev/null
    echo "$inputs" >"$file.inputs"
}

# buildah with a store of its own: the host's containers are not ours to see or fill.
store() {
    buildah --storage-driver vfs --root "$IMAGES/store" --runroot "$IMAGES/store-run" "$@"
}

archive_of() {
    echo "$IMAGES/${1//[\/:]/_}.tar"
}

digest_of_inputs() {
    {
        echo "$1"
        cat "$3"
        tar --create --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$2" .
    } | sha256sum
}

# import_image NODE NAME: a node that already holds this very image is left alone.
import_image() {
    local node=$1 name=$2 file digest
    file=$(archive_of "$name")
    digest=$(<"$file.digest")
    [[ $(image_digest "$node" "$name") != "$digest" ]] || return 0
    on_node "$node" ctr -n k8s.io images import --all-platforms "$file" >/dev/null
    [[ $(image_digest "$node" "$name") == "$digest" ]] || die "$node did not take the image $name"
}

image_digest() {
    on_node "$1" ctr -n k8s.io images ls "name==$2" | awk -v name="$2" '$1 == name { print $3 }'
}

BASE_IMAGES=(localhost/pause:1 localhost/coredns:stable docker.io/library/busybox:stable localhost/var-run-link:stable)

build_base_images() {
    local work="$IMAGES/contexts"
    rm -rf "$work"
    mkdir -p "$work"/{pause,coredns}
    gcc -static -Os -s -o "$work/pause/pause" "$CLUSTER_DIR/config/images/pause/pause.c"
    cp "$BIN/coredns" "$work/coredns/"
    furnish_busybox "$work/busybox"
    build_image localhost/pause:1 "$work/pause" "$CLUSTER_DIR/config/images/pause/Containerfile"
    build_image localhost/coredns:stable "$work/coredns" "$CLUSTER_DIR/config/images/coredns/Containerfile"
    build_image docker.io/library/busybox:stable "$work/busybox" "$CLUSTER_DIR/config/images/busybox/Containerfile"
    # As in Debian's images, which /run/secrets and the pod's own token must live with.
    cp -a "$work/busybox" "$work/var-run-link"
    mkdir "$work/var-run-link/run"
    ln -s /run "$work/var-run-link/var/run"
    build_image localhost/var-run-link:stable "$work/var-run-link" "$CLUSTER_DIR/config/images/busybox/Containerfile"
    rm -rf "$work"
}

# Lays out a root file system as the well-known image of that name has it.
furnish_busybox() {
    local root=$1 applet
    mkdir -p "$root"/{bin,dev,etc,home,proc,root,sys,usr/bin,usr/sbin,var/spool/mail,var/www}
    mkdir -p -m 1777 "$root/tmp"
    cp "$(dpkg -L busybox-static | grep '/bin/busybox$')" "$root/bin/busybox"
    for applet in $("$root/bin/busybox" --list); do
        [[ $applet == busybox ]] || ln -s busybox "$root/bin/$applet"
    done
    ln -s /bin/env "$root/usr/bin/env"
    cat >"$root/etc/passwd" <<'PASSWD'
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
PASSWD
    cat >"$root/etc/group" <<'GROUP'
root:x:0:
daemon:x:1:
www-data:x:33:
nogroup:x:65534:
GROUP
}
