#!/usr/bin/env bash
# Runs, on a copy of the collection, the linters of .venv/test, or of .venv/core-VERSION those that load ansible-core; fails when one of
# them does: tests/linters.sh [VERSION]
source "$(dirname "$0")/collection_copy.sh"

top=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
collection_copy "lint${1:+-$1}"
if [ $# -gt 0 ]; then PATH=$top/.venv/core-$1/bin:$PATH; fi
ANSIBLE_COLLECTIONS_PATH=$(realpath ../../..)
export ANSIBLE_COLLECTIONS_PATH

# Checks the collection as Galaxy does on publishing, but for the linters that run here anyway.
galaxy_importer() (
    export GALAXY_IMPORTER_CONFIG=$1/importer.cfg
    printf '[galaxy-importer]\nRUN_ANSIBLE_LINT = False\nRUN_ANSIBLE_TEST = False\nRUN_FLAKE8 = False\n' >"$GALAXY_IMPORTER_CONFIG"
    rm -f "$1"/*.tar.gz
    ansible-galaxy collection build --output-path "$1" . && cd "$1" && python -m galaxy_importer.main ./*.tar.gz
)

failed=()
lint() {
    local start=$SECONDS
    printf '\n== %s\n' "$*"
    "$@" || failed+=("$*")
    printf '(%s s)\n' $((SECONDS - start))
}

if [ $# = 0 ]; then
    lint ruff check
    lint ruff format --check
    lint yamllint --strict .
    lint shellcheck --external-sources --source-path=SCRIPTDIR tests/*.sh extensions/molecule/*.sh roles/*/files/*.sh .ci/run
    lint antsibull-changelog lint
fi
lint ansible --version
lint ansible-lint
lint antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs self .
lint galaxy_importer "$ANSIBLE_COLLECTIONS_PATH"

if [ ${#failed[@]} -gt 0 ]; then
    printf '\nFailed:\n'
    printf '    %s\n' "${failed[@]}"
    exit 1
fi
