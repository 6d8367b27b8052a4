#!/usr/bin/env bash
# Runs ansible-test sanity on a copy of the collection, without containers: tests/sanity.sh [arguments of ansible-test sanity]
# ANSIBLE_CORE="2.16 2.19" runs it under each of these versions of ansible-core, instead of under the one that is installed.
source "$(dirname "$0")/collection_copy.sh"
collection_copy sanity
state=$(realpath ../../..)

# ansible-test keeps its environments at home, and it reads pip's configuration there.
mkdir -p "$state/home/.config"
if [ -d "$HOME/.config/pip" ]; then ln -sfn "$HOME/.config/pip" "$state/home/.config/pip"; fi
export HOME=$state/home

# ansible-test downloads the script that installs pip in its environments, unless its cache has it. Python needs no download for that.
provide_pip_script() {
    local cache=$HOME/.ansible/test/cache version
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

sanity() {
    provide_pip_script
    ansible-test sanity --requirements --python "$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])')" "$@"
}

if [ -z "${ANSIBLE_CORE:-}" ]; then
    sanity "$@"
fi
for core in ${ANSIBLE_CORE:-}; do
    python -m venv "$state/core-$core"
    (
        PATH=$state/core-$core/bin:$PATH
        pip install --quiet "ansible-core==$core.*"
        sanity "$@"
    )
done
