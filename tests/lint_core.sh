#!/usr/bin/env bash
# Runs, on a copy of the collection, what judges it by ansible-core, with that of .venv/core-VERSION: tests/lint_core.sh VERSION
source "$(dirname "$0")/collection_copy.sh"

programs=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)/.venv/core-$1/bin
collection_copy "lint-$1"
PATH=$programs:$PATH
ANSIBLE_COLLECTIONS_PATH=$(realpath ../../..)
export ANSIBLE_COLLECTIONS_PATH

# What Galaxy does with a collection that is published, but for the linters that run here anyway.
galaxy_importer() (
    export GALAXY_IMPORTER_CONFIG=$1/importer.cfg
    printf '[galaxy-importer]\nRUN_ANSIBLE_LINT = False\nRUN_ANSIBLE_TEST = False\nRUN_FLAKE8 = False\n' >"$GALAXY_IMPORTER_CONFIG"
    rm -f "$1"/*.tar.gz
    ansible-galaxy collection build --output-path "$1" . && cd "$1" && python -m galaxy_importer.main ./*.tar.gz
)

sanity() {
    # ansible-test keeps its environments at home, and it reads pip's configuration there.
    local home=$1/home python
    mkdir -p "$home/.config"
    if [ -d "$HOME/.config/pip" ]; then ln -sfn "$HOME/.config/pip" "$home/.config/pip"; fi
    provide_pip_script "$home/.ansible/test/cache"
    python=$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    HOME=$home ansible-test sanity --requirements --python "$python"
}

# ansible-test downloads the script that installs pip in its environments, unless its cache has it. Python needs no download for that.
provide_pip_script() {
    local cache=$1 version
    mkdir -p "$cache"
    python -c 'import ansible_test, pathlib, re
source = pathlib.Path(ansible_test.__path__[0], "_internal", "python_requirements.py").read_text()
print(*set(re.findall(r"\bpip=.([\d.]+)", source)), sep="\n")' |
        while read -r version; do
            cat >"$cache/get_pip_${version//./_}.py" <<'EOF'
import subprocess
import sys

arguments = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
subprocess.check_call([sys.executable, "-m", "ensurepip"])
subprocess.check_call([sys.executable, "-m", "pip", "install", *arguments])
EOF
        done
}

failed=()
lint() {
    printf '\n== %s\n' "$*"
    "$@" || failed+=("$*")
}

lint ansible --version
lint ansible-lint
lint antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs self .
lint galaxy_importer "$ANSIBLE_COLLECTIONS_PATH"
lint sanity "$ANSIBLE_COLLECTIONS_PATH"

if [ ${#failed[@]} -gt 0 ]; then
    printf '\nFailed with ansible-core %s:\n' "$1"
    printf '    %s\n' "${failed[@]}"
    exit 1
fi
