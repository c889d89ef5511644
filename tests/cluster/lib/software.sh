# The image of real software: packages of the Debian that runs here, unpacked, without their scripts.
#
# Nothing is installed: apt only says which packages belong together. All files are root's, as what
# a program writes is in a volume; its users are in our own passwd.

SOFTWARE_IMAGE=localhost/software:debian
SOFTWARE_SOURCES="$CLUSTER_DIR/config/images/software"

SOFTWARE_PACKAGES=(
    bash coreutils dash findutils grep sed
    mariadb-client-core mariadb-server-core
    nginx-light
    openssh-client openssh-server
    openssl
    postgresql
    python3
)

# What only installing needs, or what is large and optional (LLVM compiles queries), by pattern.
SOFTWARE_WITHOUT=(
    adduser debconf dpkg init-system-helpers iproute2 'libbpf.*' libc-l10n 'libelf[0-9].*' 'libllvm.*' 'libnginx-mod-.*'
    libpam-runtime 'libperl.*' 'lib.*-perl' 'libsemanage.*' 'libz3-.*' locales lsb-base passwd 'perl.*' procps
    'postgresql(-client)?-common' runit-helper sensible-utils ssl-cert sysvinit-utils tar ucf usrmerge
)
SOFTWARE_WITHOUT_FILES=(
    ./usr/share/{bash-completion,bug,doc,info,lintian,locale,man} './usr/share/postgresql/*/man'
    './usr/lib/postgresql/*/lib/'{bitcode,'llvmjit*'}
)

# What must start in the finished root file system, so that a library that is missing shows here.
SOFTWARE_PROGRAMS=(
    awk bash find initdb mariadb mariadbd my_print_defaults nginx openssl pg_isready postgres psql python3 sh ssh sshd
)

# Known by the files that make it, not by the packages' versions: those would need the network.
software_is_built() {
    local file
    file=$(archive_of "$SOFTWARE_IMAGE")
    [[ -f $file && -f $file.inputs && -f $file.sources && $(<"$file.sources") == "$(software_sources)" ]]
}

software_sources() {
    {
        cat /etc/debian_version "${BASH_SOURCE[0]}"
        digest_of_inputs "$SOFTWARE_IMAGE" "$SOFTWARE_SOURCES" "$SOFTWARE_SOURCES/Containerfile"
    } | sha256sum
}

build_software() {
    local file work="$IMAGES/software"
    file=$(archive_of "$SOFTWARE_IMAGE")
    umask 022
    rm -rf "$work"
    mkdir -p "$work"/{packages,root}
    download_software "$work/packages"
    unpack_software "$work/packages" "$work/root"
    furnish_software "$work/root"
    check_software "$work/root"
    build_image "$SOFTWARE_IMAGE" "$work/root" "$SOFTWARE_SOURCES/Containerfile"
    software_sources >"$file.sources"
    rm -rf "$work"
}

# apt takes the machine's own sources, mirrors and keys, but is told that nothing is installed.
download_software() {
    local log="$IMAGES/software.log"
    : >"$1/status"
    (fetch_software "$1") </dev/null &>"$log" || {
        tail -n 20 "$log" >&2
        return 1
    }
}

# Run where bash ignores failures: each command says itself that it needs the one before.
fetch_software() {
    local names
    apt-get update --quiet &&
        names=$(software_closure "$1") &&
        cd "$1" &&
        xargs apt-get --quiet -o "Dir::State::status=$1/status" download <<<"$names"
}

software_closure() {
    local without
    without=$(printf '|%s' "${SOFTWARE_WITHOUT[@]}")
    apt-get -o "Dir::State::status=$1/status" -o APT::Install-Recommends=false --simulate \
        install "${SOFTWARE_PACKAGES[@]}" |
        awk -v without="^(${without:1})\$" '$1 == "Inst" && $2 !~ without { print $2 }'
}

# Debian's packages hold /bin and /lib, its systems only links of these names.
unpack_software() {
    local packages=$1 root=$2 directory package
    for directory in bin lib lib64 sbin; do
        mkdir -p "$root/usr/$directory"
        ln -s "usr/$directory" "$root/$directory"
    done
    for package in "$packages"/*.deb; do
        dpkg-deb --fsys-tarfile "$package" |
            tar -x -C "$root" --keep-directory-symlink "${SOFTWARE_WITHOUT_FILES[@]/#/--exclude=}"
    done
    # Nothing here needs more rights than its caller has.
    find "$root" -xdev -type f -perm /6000 -exec chmod u-s,g-s {} +
}

furnish_software() {
    local root=$1 program
    # As root's and for all to read, whoever's and whatever the files of this checkout are.
    tar -c -C "$SOFTWARE_SOURCES/files" --owner=0 --group=0 --mode=u=rwX,go=rX . | tar -x -C "$root"
    # In Debian these are behind scripts in Perl that choose among versions.
    for program in "$root"/usr/lib/postgresql/*/bin/*; do
        ln -s "/${program#"$root/"}" "$root/usr/local/bin/"
    done
    ln -s mawk "$root/usr/bin/awk"
    mkdir -p "$root"/{dev,proc,run/{mysqld,postgresql,sshd},sys,home/app,var/lib/{mysql,nginx,postgresql}}
    mkdir -p -m 1777 "$root/tmp"
    # As in Debian, where a maintainer script makes it.
    rm -rf "$root/var/run"
    ln -s /run "$root/var/run"
}

check_software() {
    local program path
    for program in "${SOFTWARE_PROGRAMS[@]}"; do
        path=$(chroot "$1" /bin/bash -c 'type -P "$1"' bash "$program") || die "$program is not in the image"
        ! chroot "$1" /usr/bin/env LD_TRACE_LOADED_OBJECTS=1 "$path" | grep 'not found' ||
            die "$program lacks a library: look at SOFTWARE_WITHOUT"
    done
}
