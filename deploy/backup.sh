#!/bin/sh
# Backs up a running Hypertick database: a consistent dump of all tables, the offsets
# of ingest included.
# Usage: backup.sh DIRECTORY. Creates DIRECTORY/DATABASE-TIME/.
# libpq's variables name the database (PGHOST, PGPORT, PGUSER, PGPASSWORD,
# PGDATABASE): a URL would show its password in process lists.
set -eu

if [ $# -ne 1 ] || [ ! -d "$1" ]; then
	echo "usage: backup.sh DIRECTORY (which must exist)" >&2
	exit 2
fi
: "${PGDATABASE:?is not set: which database?}"

query() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }

umask 077
name=$PGDATABASE-$(date -u +%Y%m%dT%H%M%SZ)
target=$1/$name
draft=$1/.$name.partial
mkdir "$draft"
trap 'rm -rf "$draft"' EXIT
trap 'exit 1' HUP INT TERM

# pg_restore needs the same version of TimescaleDB.
query >"$draft/about" <<'SQL'
SELECT 'timescaledb=' || extversion FROM pg_catalog.pg_extension WHERE extname = 'timescaledb';
SELECT 'postgresql=' || current_setting('server_version');
SELECT 'migration=' || max(version_id) FROM public.goose_db_version WHERE is_applied;
SQL
grep -q '^timescaledb=.' "$draft/about" || { echo "backup.sh: $PGDATABASE has no TimescaleDB in it" >&2; exit 1; }

# Roles belong to the server, so pg_dump leaves them out, and grants to them could
# not be restored. Their passwords are not backed up:
# `hypertick migrate` sets them.
query >"$draft/roles.sql" <<'SQL'
SELECT format($f$SELECT %L WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = %L) \gexec$f$,
              format('CREATE ROLE %I', rolname), rolname)
FROM pg_catalog.pg_roles WHERE rolname ~ '^hypertick_' ORDER BY rolname;
SELECT format('ALTER ROLE %I %s CONNECTION LIMIT %s;', rolname, CASE WHEN rolcanlogin THEN 'LOGIN' ELSE 'NOLOGIN' END, rolconnlimit)
FROM pg_catalog.pg_roles WHERE rolname ~ '^hypertick_' ORDER BY rolname;
-- search_path is a list, quoted already.
SELECT format(CASE split_part(s, '=', 1) WHEN 'search_path' THEN 'ALTER ROLE %I SET %I TO %s;' ELSE 'ALTER ROLE %I SET %I TO %L;' END,
              rolname, split_part(s, '=', 1), substr(s, strpos(s, '=') + 1))
FROM pg_catalog.pg_roles r
JOIN pg_catalog.pg_db_role_setting d ON d.setrole = r.oid AND d.setdatabase = 0
CROSS JOIN LATERAL unnest(d.setconfig) s
WHERE rolname ~ '^hypertick_' ORDER BY rolname, s;
SQL

# It warns of circular foreign keys in TimescaleDB's catalog, which pre_restore
# handles. No warning is filtered, since others matter.
pg_dump -Fc -f "$draft/database.dump" -d "$PGDATABASE"

# Reading the table of contents checks that the file is not truncated.
pg_restore -l "$draft/database.dump" >/dev/null
mv "$draft" "$target"
trap - EXIT
echo "$target"
