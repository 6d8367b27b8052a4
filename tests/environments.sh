#!/usr/bin/env bash
# Sets up the environments that `make test` needs, two at a time, but for those that could not be used here.
# For PYTHON and PYTHON_NEWEST see pythons.sh. With FULL the environments of all versions of ansible-core are set up.
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/pythons.sh

# shellcheck disable=SC2329 # by side_by_side
set_up() {
    local python=${PYTHON:-python3}
    # The layers say what could not be tested.
    case $1 in
        core-*) python=$(python_of "${1#core-}") || return 0 ;;
        debezium) "$python" tests/debezium/java.py 2>/dev/null || return 0 ;;
    esac
    "${MAKE:-make}" --no-print-directory ".venv/$1/.stamp" PYTHON="$python"
}

environments=(test core-2.16 core-2.21 debezium)
if [ -n "${FULL:-}" ]; then environments+=(core-2.18 core-2.19); fi
JOBS=2 side_by_side set_up "${environments[@]}"
