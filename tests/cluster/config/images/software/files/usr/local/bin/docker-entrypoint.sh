#!/bin/bash
# Starts a database, and makes it first if there is none: as the entrypoints of the official images
# do, which take each password from NAME or from the file that NAME_FILE names.
set -euo pipefail

main() {
    case ${1:-} in
        postgres) start_postgres "$@" ;;
        mariadbd) start_mariadb "$@" ;;
        *) exec "$@" ;;
    esac
}

die() {
    echo "error: $*" >&2
    exit 1
}

# Sets the shell variable $1 from the environment or from the file that $1_FILE names. It is not
# exported: what is started does not get it.
file_env() {
    local name=$1 file=$1_FILE value
    if [[ -n ${!name:-} && -n ${!file:-} ]]; then
        die "both $name and $file are set, but they exclude each other"
    fi
    value=${!name:-}
    if [[ -n ${!file:-} ]]; then
        [[ -r ${!file} ]] || die "$file: ${!file} cannot be read"
        value=$(<"${!file}")
    fi
    unset "$name" "$file"
    [[ -n $value ]] || die "set $name or $file: a database without a password is not started"
    printf -v "$name" %s "$value"
}

start_postgres() {
    export PGDATA=${PGDATA:-/var/lib/postgresql/data}
    file_env POSTGRES_PASSWORD
    [[ -s $PGDATA/PG_VERSION ]] || init_postgres
    exec "$@"
}

init_postgres() {
    # A pipe: neither arguments nor the disk ever hold the password.
    initdb --username="${POSTGRES_USER:-postgres}" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") \
        --auth-local=trust --auth-host=scram-sha-256
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
}

start_mariadb() {
    local directory=/var/lib/mysql
    file_env MARIADB_ROOT_PASSWORD
    file_env MARIADB_PASSWORD
    [[ -d $directory/mysql ]] || init_mariadb "$directory"
    exec "$@" --skip-name-resolve
}

init_mariadb() {
    mariadb-install-db --datadir="$1" --auth-root-authentication-method=normal --skip-test-db >/dev/null
    mariadb_accounts | mariadbd --datadir="$1" --bootstrap
}

mariadb_accounts() {
    local database=${MARIADB_DATABASE:?} user=${MARIADB_USER:?}
    # The first lines take away accounts that are made without a password.
    cat <<SQL
DELETE FROM mysql.global_priv WHERE User NOT IN ('root', 'mariadb.sys') OR Host <> 'localhost';
FLUSH PRIVILEGES;
ALTER USER root@localhost IDENTIFIED BY '$(sql_escape "$MARIADB_ROOT_PASSWORD")';
CREATE USER root@'%' IDENTIFIED BY '$(sql_escape "$MARIADB_ROOT_PASSWORD")';
GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;
CREATE DATABASE \`$database\`;
CREATE USER '$user'@'%' IDENTIFIED BY '$(sql_escape "$MARIADB_PASSWORD")';
GRANT ALL ON \`$database\`.* TO '$user'@'%';
SQL
}

sql_escape() {
    local text=${1//\\/\\\\}
    printf %s "${text//\'/\\\'}"
}

main "$@"
