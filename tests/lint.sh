#!/usr/bin/env bash
# Runs the linters, and ansible-test sanity on several versions of ansible-core: tests/lint.sh [version of ansible-core ...]
# Without a version: on the oldest and the newest of them. FULL, when it is not empty: on all of them, with all that depends on them.
# JOBS is the number of them that run at a time. For PYTHON, PYTHON_NEWEST and PYTHON_OLDEST see pythons.sh.
source "$(dirname "$0")/collection_copy.sh"
source "$(dirname "$0")/pythons.sh"

LOGS=.cache/lint-logs
if [ $# = 0 ]; then
    if [ -n "${FULL:-}" ]; then set -- 2.16 2.18 2.19 2.21; else set -- 2.16 2.21; fi
fi
newest=${*: -1}
# The other sanity tests judge the files alone, whatever the version; pylint, whose release differs, runs on all
# of them in full only.
BY_VERSION="ansible-doc compile ignores import runtime-metadata validate-modules"

# shellcheck disable=SC2329 # by side_by_side
lint() {
    local name=$1 log=$LOGS/$1.log start=$SECONDS code=0
    shift
    "$@" >"$log" 2>&1 || code=$?
    if [ "$code" = 0 ]; then
        echo "$name: clean ($((SECONDS - start)) s)"
    else
        printf '\n== %s\n' "$name"
        cat "$log"
        printf '== %s: failed\n\n' "$name"
    fi
    return "$code"
}

top=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
cd "$top" || exit
mkdir -p "$LOGS"
failed=0
cores=()
require_oldest_python || failed=1
set_up_cores lint "$@" || failed=1

# The longest first.
jobs=()
for core in "${cores[@]}"; do
    tests=$BY_VERSION
    if [ "$core" = "$newest" ] || [ -n "${FULL:-}" ]; then tests=; fi
    jobs=("sanity-$core tests/sanity.sh $core $tests" "${jobs[@]}")
    if [ -n "${FULL:-}" ]; then
        "${MAKE:-make}" --no-print-directory ".venv/core-$core/.lint-stamp" || failed=1
        jobs+=("linters-$core tests/linters.sh $core")
    fi
done
jobs=("${jobs[@]:0:1}" "linters tests/linters.sh" "${jobs[@]:1}")
side_by_side lint "${jobs[@]}" || failed=1
exit "$failed"
