#!/usr/bin/env bash
# Runs every linter on a copy of the collection, and what judges it by ansible-core on each of several versions; fails when one of them
# does: tests/lint.sh [version of ansible-core ...]
# JOBS is how many versions go at a time. For PYTHON and PYTHON_NEWEST see pythons.sh.
source "$(dirname "$0")/collection_copy.sh"
source "$(dirname "$0")/pythons.sh"

LOGS=.cache/lint-logs

failed=0
lint() {
    printf '\n== %s\n' "$*"
    "$@" || failed=1
}

# shellcheck disable=SC2329 # by side_by_side
lint_core() {
    local log=$LOGS/$1.log code=0
    tests/lint_core.sh "$1" >"$log" 2>&1 || code=$?
    if [ "$code" = 0 ]; then
        echo "ansible-core $1: clean"
    else
        cat "$log"
    fi
    return "$code"
}

top=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
collection_copy lint
lint ruff check
lint ruff format --check
lint yamllint --strict .
lint shellcheck --external-sources --source-path=SCRIPTDIR tests/*.sh
lint antsibull-changelog lint

cd "$top" || exit
mkdir -p "$LOGS"
if [ $# = 0 ]; then set -- 2.16 2.18 2.19 2.21; fi
cores=()
set_up_cores lint "$@" || failed=1
printf '\n== ansible-lint, antsibull-docs, galaxy-importer, ansible-test sanity\n'
side_by_side lint_core "${cores[@]}" || failed=1
exit "$failed"
