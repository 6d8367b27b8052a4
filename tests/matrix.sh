#!/usr/bin/env bash
# Runs the unit, the integration and the API tests in both ways in which the modules run, on the oldest and on the newest
# ansible-core that it supports: tests/matrix.sh [arguments of pytest]
# JOBS is how many of these four runs go at a time. For PYTHON and PYTHON_NEWEST see pythons.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/pythons.sh

# Most playbooks are tested on the newest PostgreSQL only. They take long in the ordinary way, in which they differ by nothing but
# the modules that they call: there a version does that fewer of them are tested on. The longer runs come first.
RUNS=("2.16 ordinary 17" "2.21 ordinary 17" "2.16 in-process 18" "2.21 in-process 18")
LOGS=.cache/matrix

# shellcheck disable=SC2329 # by side_by_side
run() {
    local core=$1 way=$2 major=$3 name="ansible-core $1, $2" log="$LOGS/$1-$2.log" code=0
    set -- "${arguments[@]}"
    # pytest's arguments would add to this one.
    case " $* " in *" --postgres "*) ;; *) set -- --postgres "$major" "$@" ;; esac
    # Many, and all of one module, which neither the way nor ansible-core knows from others.
    set -- --ignore tests/integration/test_readiness.py "$@"
    # What tells of the tests' own doubles, and of what takes its time on any ansible-core.
    set -- --ignore tests/api/test_judge.py --ignore tests/api/test_streamkap_double.py --deselect tests/api/test_inventory.py::TestSize "$@"
    # What these tests are about they try in both ways in any case.
    # The inventory runs no module, and a fleet runs the same ones as a database alone.
    if [ "$way" = ordinary ]; then
        set -- --ignore tests/integration/test_in_process.py --ignore tests/api/test_inventory.py --ignore tests/api/test_fleet.py "$@"
    fi
    ".venv/core-$core/bin/python" -m pytest tests/unit tests/integration tests/api --modules "$way" -p no:cacheprovider "$@" \
        >"$log" 2>&1 || code=$?
    if [ "$code" = 0 ]; then
        echo "$name: $(tail -n 1 "$log")"
    else
        printf '\n== %s\n' "$name"
        cat "$log"
    fi
    return "$code"
}

mkdir -p "$LOGS"
failed=0
arguments=("$@")
planned=()
cores=()
set_up_cores matrix 2.16 2.21 || failed=1
for run in "${RUNS[@]}"; do
    read -r core way major <<<"$run"
    case " ${cores[*]} " in *" $core "*) ;; *) continue ;; esac
    ".venv/core-$core/bin/python" tests/support/binaries.py "$major"
    planned+=("$core $way $major")
done
side_by_side run "${planned[@]}" || failed=1
exit "$failed"
