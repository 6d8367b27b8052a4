# shellcheck shell=bash
# Sourced by matrix.sh, screens.sh, lint.sh and sanity.sh, which run on several versions of ansible-core, each in an environment of its own.

# python_of CORE: prints a Python on which that version of ansible-core runs, and which can make a virtual environment: PYTHON or
# PYTHON_NEWEST where they fit, or one on PATH or among pyenv's.
python_of() {
    local given oldest newest minor candidates candidate
    case $1 in
        2.16) given=${PYTHON:-python3} oldest=11 newest=12 ;;
        2.18 | 2.19) given=${PYTHON:-python3} oldest=11 newest=13 ;;
        2.21) given=${PYTHON_NEWEST:-} oldest=12 newest=14 ;;
    esac
    candidates=("$given")
    for ((minor = newest; minor >= oldest; minor--)); do
        candidates+=("python3.$minor" "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/3."$minor".*/bin/python)
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

# oldest_python: prints a Python 3.9, the oldest one that the plugins run on: PYTHON_OLDEST, or one on PATH or among pyenv's.
oldest_python() {
    local candidate
    for candidate in "${PYTHON_OLDEST:-}" python3.9 "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/3.9.*/bin/python3.9; do
        # One of pyenv's may be on PATH and yet refuse to start.
        if "$candidate" -c "import sys, venv; sys.exit(sys.version_info[:2] != (3, 9))" 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

tell_what_was_not_run() {
    local core=$1 wanted
    case $core in
        2.16) wanted="3.11 or 3.12 (PYTHON=...)" ;;
        2.18 | 2.19) wanted="3.11 to 3.13 (PYTHON=...)" ;;
        2.21) wanted="3.12 or newer (PYTHON_NEWEST=...)" ;;
    esac
    cat >&2 <<TEXT

    ##########################################################################

      ANSIBLE-CORE $core WAS NOT TRIED: no Python $wanted with venv is here.
      Install one, or name it, then: make $2

    ##########################################################################

TEXT
}

# Says so where the plugins cannot be imported on the oldest Python that they run on; an error in CI.
require_oldest_python() {
    oldest_python >/dev/null && return
    cat >&2 <<'TEXT'

    ##########################################################################

      THE PLUGINS WERE NOT IMPORTED ON PYTHON 3.9: it is not here.
      Install it, or name it (PYTHON_OLDEST=...), then: make lint

    ##########################################################################

TEXT
    [ "${CI:-}" != true ]
}

# set_up_cores TARGET CORE...: sets up .venv/core-CORE for each, and leaves in the array cores those that there is a Python for. The
# others are told, and an error in CI.
set_up_cores() {
    local target=$1 core python lacking=
    shift
    cores=()
    for core in "$@"; do
        if python=$(python_of "$core"); then
            "${MAKE:-make}" --no-print-directory ".venv/core-$core/.stamp" PYTHON="$python" || return
            cores+=("$core")
        else
            tell_what_was_not_run "$core" "$target"
            lacking=1
        fi
    done
    [ -z "$lacking" ] || [ "${CI:-}" != true ]
}

# side_by_side FUNCTION WORDS...: calls it with each of these, JOBS of them at a time, and fails when one of the calls does.
side_by_side() {
    local function=$1 words running=0 code=0
    shift
    for words in "$@"; do
        if [ "$running" -ge "${JOBS:-2}" ]; then
            wait -n || code=1
            running=$((running - 1))
        fi
        # shellcheck disable=SC2086
        "$function" $words &
        running=$((running + 1))
    done
    while [ "$running" -gt 0 ]; do
        wait -n || code=1
        running=$((running - 1))
    done
    return "$code"
}
