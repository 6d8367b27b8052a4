# shellcheck shell=bash
# Sourced by linters.sh, sanity.sh and molecule.sh, whose tools want the collection below ansible_collections/, in a real folder.
set -euo pipefail

# collection_copy NAME: copies what git tracks, or would track, to .cache/NAME/ansible_collections/streamkap/neon, and goes there.
collection_copy() {
    local top copy file
    top=$(git -C "$(dirname "${BASH_SOURCE[0]}")" rev-parse --show-toplevel)
    copy=$top/.cache/$1/ansible_collections/streamkap/neon
    rm -rf "$copy"
    mkdir -p "$copy"
    cd "$top"
    git ls-files -z --cached --others --exclude-standard |
        while IFS= read -r -d '' file; do
            # What is deleted and not committed yet is still listed.
            if [ -e "$file" ]; then printf '%s\0' "$file"; fi
        done |
        tar --null --files-from - --create | tar --extract --directory "$copy"
    cd "$copy"
    # Without a repository of its own, the tools would take the copy for ignored files of the checkout.
    git init --quiet
    export PATH=$top/.venv/test/bin:$PATH ANSIBLE_HOME=$top/.cache/$1/ansible
}
