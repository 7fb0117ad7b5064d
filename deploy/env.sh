#!/bin/sh
# Creates .env from .env.example with random passwords, readable by its owner only.
# It never changes an existing .env, which may hold the only copy of a password.
# Usage: deploy/env.sh [DIRECTORY]
set -eu

cd "${1:-$(dirname "$0")/..}"
if [ -e .env ] || [ -L .env ]; then
	echo "env.sh: .env is there already and stays as it is" >&2
	exit 1
fi

random() { od -An -v -tx1 -N24 /dev/urandom | tr -d ' \n'; }

uid=$(id -u)
gid=$(id -g)
umask 077
mkdir -p backups
if [ "$uid" -eq 0 ]; then
	# No container runs as root: the backups belong to the image's postgres.
	uid=70 gid=70
	chown 70:70 backups
fi

# Written to another file and linked: no reader sees a part of it, and ln never
# overwrites, even if several run at once.
draft=$(mktemp .env.XXXXXX)
trap 'rm -f "$draft"' EXIT
while IFS= read -r line || [ -n "$line" ]; do
	case $line in
	[A-Z]*_PASSWORD=) echo "$line$(random)" ;;
	BACKUP_UID=*) echo "BACKUP_UID=$uid" ;;
	BACKUP_GID=*) echo "BACKUP_GID=$gid" ;;
	*) printf '%s\n' "$line" ;;
	esac
done <.env.example >"$draft"
if ! ln "$draft" .env 2>/dev/null; then
	echo "env.sh: .env is there already and stays as it is" >&2
	exit 1
fi
echo "wrote .env; now: docker compose up -d"
