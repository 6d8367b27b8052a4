#!/usr/bin/env bash
# Runs the tests marked `matrix` with both ways in which modules are executed, on the oldest and on the newest supported ansible-core,
# and those marked `core_version` with one of the ways: tests/matrix.sh [arguments of pytest]
# With FULL set it runs nearly all unit, integration and API tests instead.
# JOBS is how many of these four runs go at a time. For PYTHON and PYTHON_NEWEST see pythons.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/pythons.sh

# The longer runs start first. In the ordinary way, where each module starts a process, a full run takes a version of PostgreSQL on
# which fewer playbooks are tested.
if [ -n "${FULL:-}" ]; then ordinary=17; else ordinary=18; fi
RUNS=("2.16 ordinary $ordinary" "2.21 ordinary $ordinary" "2.16 in-process 18" "2.21 in-process 18")
LOGS=.cache/matrix

# shellcheck disable=SC2329 # by side_by_side
run() {
    local core=$1 way=$2 major=$3 name="ansible-core $1, $2" log="$LOGS/$1-$2.log" code=0
    set -- "${arguments[@]}"
    # pytest's arguments would add to this one.
    case " $* " in *" --postgres "*) ;; *) set -- --postgres "$major" "$@" ;; esac
    if [ -n "${FULL:-}" ]; then
        # Left out: many tests of one module, tests of the tests' own fakes, and a test of size.
        set -- --full --ignore tests/integration/test_readiness.py "$@"
        set -- --ignore tests/api/test_judge.py --ignore tests/api/test_streamkap_double.py "$@"
        set -- --deselect tests/api/test_inventory.py::TestSize "$@"
        # tests/integration/test_in_process.py executes modules in both ways itself. An inventory executes no module, and a fleet
        # executes the modules of a single database.
        if [ "$way" = ordinary ]; then
            set -- --ignore tests/integration/test_in_process.py --ignore tests/api/test_inventory.py "$@"
            set -- --ignore tests/api/test_fleet.py "$@"
        fi
    else
        # What only the version of ansible-core can change is tested in one of the ways.
        if [ "$way" = ordinary ]; then set -- -m matrix "$@"; else set -- -m "matrix or core_version" "$@"; fi
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
