#!/usr/bin/env bash
# Runs every linter on a copy of the collection, offline, and fails when one of them does.
source "$(dirname "$0")/collection_copy.sh"
collection_copy lint
ANSIBLE_COLLECTIONS_PATH=$(realpath ../../..)
export ANSIBLE_COLLECTIONS_PATH

failed=()
lint() {
    printf '\n== %s\n' "$*"
    "$@" || failed+=("$*")
}

lint ruff check
lint ruff format --check
lint yamllint --strict .
lint ansible-lint
lint antsibull-changelog lint
lint antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs self .

if [ ${#failed[@]} -gt 0 ]; then
    printf '\nFailed:\n'
    printf '    %s\n' "${failed[@]}"
    exit 1
fi
