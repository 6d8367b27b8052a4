#!/usr/bin/env bash
# Runs the unit and the integration tests in both ways in which the collection's modules run, on the oldest and on the newest
# ansible-core that it supports: tests/ways.sh [arguments of pytest]
# JOBS is how many of these four runs go at a time. PYTHON and PYTHON_NEWEST are the Pythons to use where they fit the oldest and
# the newest ansible-core; others are looked for on PATH and among pyenv's.
set -euo pipefail
cd "$(dirname "$0")/.."

# Most playbooks are tested on the newest PostgreSQL only. They take long in the ordinary way, in which they differ by nothing but
# the modules that they call: there a version does that fewer of them are tested on. The longer runs come first.
RUNS=("2.16 ordinary 17" "2.21 ordinary 17" "2.16 in-process 18" "2.21 in-process 18")
LOGS=.cache/ways

# python_of CORE: prints a Python on which that version of ansible-core runs, and which can make a virtual environment.
python_of() {
    local given oldest newest minor candidates candidate
    case $1 in
        2.16) given=${PYTHON:-python3} oldest=11 newest=12 ;;
        2.21) given=${PYTHON_NEWEST:-} oldest=12 newest=14 ;;
    esac
    candidates=("$given")
    for ((minor = newest; minor >= oldest; minor--)); do
        candidates+=("python3.$minor" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3."$minor".*/bin/python)
    done
    for candidate in "${candidates[@]}"; do
        # One of pyenv's may be on PATH and yet refuse to start.
        if "$candidate" -c "import ensurepip, sys; sys.exit(not (3, $oldest) <= sys.version_info[:2] <= (3, $newest))" 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

tell_what_was_not_run() {
    local wanted=$1 core=$2
    cat >&2 <<EOF

    ##########################################################################

      ANSIBLE-CORE $core WAS NOT TESTED: no Python $wanted with venv is here.
      Install one, or name it, then: make ways

    ##########################################################################

EOF
}

run() {
    local core=$1 way=$2 major=$3 name="ansible-core $1, $2" log="$LOGS/$1-$2.log" code=0
    shift 3
    # pytest's arguments would add to this one.
    case " $* " in *" --postgres "*) ;; *) set -- --postgres "$major" "$@" ;; esac
    # Many, and all of one module, which neither the way nor ansible-core knows from others.
    set -- --ignore tests/integration/test_readiness.py "$@"
    # What these tests are about they try in both ways in any case.
    if [ "$way" = ordinary ]; then set -- --ignore tests/integration/test_in_process.py "$@"; fi
    ".venv/core-$core/bin/python" -m pytest tests/unit tests/integration --modules "$way" -p no:cacheprovider "$@" \
        >"$log" 2>&1 || code=$?
    if [ $code = 0 ]; then
        echo "$name: $(tail -n 1 "$log")"
    else
        printf '\n== %s\n' "$name"
        cat "$log"
    fi
    return $code
}

mkdir -p "$LOGS"
failed=0
cores=()
for core in 2.16 2.21; do
    if python=$(python_of "$core"); then
        "${MAKE:-make}" --no-print-directory ".venv/core-$core/.stamp" PYTHON="$python"
        cores+=("$core")
    else
        case $core in
            2.16) tell_what_was_not_run "3.11 or 3.12 (PYTHON=...)" "$core" ;;
            2.21) tell_what_was_not_run "3.12 or newer (PYTHON_NEWEST=...)" "$core" ;;
        esac
        [ "${CI:-}" != true ] || failed=1
    fi
done

running=0
for planned in "${RUNS[@]}"; do
    read -r core way major <<<"$planned"
    case " ${cores[*]} " in *" $core "*) ;; *) continue ;; esac
    if [ "$running" -ge "${JOBS:-2}" ]; then
        wait -n || failed=1
        running=$((running - 1))
    fi
    ".venv/core-$core/bin/python" tests/support/binaries.py "$major"
    run "$core" "$way" "$major" "$@" &
    running=$((running + 1))
done
while [ "$running" -gt 0 ]; do
    wait -n || failed=1
    running=$((running - 1))
done
exit "$failed"
