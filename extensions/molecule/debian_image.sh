#!/usr/bin/env bash
# Makes a PostgreSQL 17 image from Debian's packages, with no container registry: debian_image.sh ENGINE IMAGE
set -euo pipefail
engine=$1 image=$2

work=$(mktemp --directory)
trap 'rm -rf "$work"' EXIT
debootstrap --variant=minbase --include=postgresql-17 trixie "$work/root" >"$work/log" 2>&1 || {
    tail --lines=20 "$work/log" >&2
    exit 1
}
tar --directory "$work/root" --exclude='./var/cache/apt/*' --exclude='./var/lib/apt/lists/*' --exclude='./usr/share/doc/*' --create . |
    "$engine" import --change 'ENV PATH=/usr/lib/postgresql/17/bin:/usr/sbin:/usr/bin:/sbin:/bin' - "$image"
