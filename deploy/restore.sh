#!/bin/sh
# Restores a backup of backup.sh into a database that is empty or does not exist. It
# never changes one that is not empty.
# Usage: restore.sh DIRECTORY/NAME. The target is $PGDATABASE, on the server
# that libpq's variables name; the user has to be a superuser of it.
set -eu

if [ $# -ne 1 ] || [ ! -f "$1/database.dump" ] || [ ! -f "$1/roles.sql" ] || [ ! -f "$1/about" ]; then
	echo "usage: restore.sh BACKUP (a directory that backup.sh made: about, roles.sql, database.dump)" >&2
	exit 2
fi
: "${PGDATABASE:?is not set: restore into which database?}"
target=$PGDATABASE

query() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }
fail() {
	echo "restore.sh: $*" >&2
	exit 1
}

version=$(sed -n 's/^timescaledb=//p' "$1/about")
[ -n "$version" ] || fail "$1/about does not say which TimescaleDB it was"
# psql expands variables only in its standard input.
[ -n "$(query -d postgres -v version="$version" <<'SQL'
SELECT 1 FROM pg_catalog.pg_available_extension_versions WHERE name = 'timescaledb' AND version = :'version';
SQL
)" ] || fail "the backup is of TimescaleDB $version, which this server does not have: restore on one that has it, then upgrade there"

if [ -n "$(query -d postgres -v target="$target" <<'SQL'
SELECT 1 FROM pg_catalog.pg_database WHERE datname = :'target';
SQL
)" ]; then
	# Objects of extensions do not count.
	holds=$(query -d "$target" <<'SQL'
SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^(pg_|information_schema|_timescaledb_)'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e');
SQL
	)
	[ "$holds" = 0 ] || fail "database $target is not empty; restore under another name (PGDATABASE), or drop it first"
	query -d postgres -v target="$target" <<'SQL'
DROP DATABASE :"target" WITH (FORCE);
SQL
fi

query -d postgres -f "$1/roles.sql"
query -d postgres -v target="$target" <<'SQL'
CREATE DATABASE :"target" TEMPLATE template0;
SQL
trap 'echo "restore.sh: failed; database $target is not whole, drop it" >&2' EXIT

query -d "$target" -v version="$version" <<'SQL'
SET client_min_messages = warning;
CREATE EXTENSION timescaledb VERSION :'version';
SELECT FROM timescaledb_pre_restore();
SQL
# One job: a parallel restore breaks TimescaleDB's catalog.
pg_restore --exit-on-error -d "$target" "$1/database.dump"
query -d "$target" <<'SQL'
SELECT FROM timescaledb_post_restore();
ANALYZE;
SQL
trap - EXIT
echo "restored $1 into $target; run hypertick migrate now: it sets the passwords and applies newer migrations"
