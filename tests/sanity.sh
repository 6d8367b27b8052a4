#!/usr/bin/env bash
# Runs ansible-test sanity on a copy of the collection, with the ansible-core of .venv/core-VERSION: tests/sanity.sh VERSION [TEST ...]
# Without the name of a test: all of them.
source "$(dirname "$0")/collection_copy.sh"
source "$(dirname "$0")/pythons.sh"

version=$1
shift
programs=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)/.venv/core-$version/bin
collection_copy "sanity-$version"
PATH=$programs:$PATH
home=$(realpath ../../..)/home

# ansible-test keeps its environments at home, and its pip reads its configuration and keeps its cache there.
prepare_home() {
    local name cache
    mkdir -p "$home/.config" "$home/.cache" "$home/.pip" "$home/.ansible/test/cache"
    if [ -d "${HOME:-}/.config/pip" ]; then ln -sfn "${HOME:-}/.config/pip" "$home/.config/pip"; fi
    if cache=$("$programs/python" -m pip cache dir 2>/dev/null) && [ -d "$cache" ]; then ln -sfn "$cache" "$home/.cache/pip"; fi
    # Of what is installed, only a small part is ever imported.
    printf '[install]\nno-compile = true\n' >"$home/.pip/pip.conf"
    # ansible-test downloads the script that installs pip in its environments, unless its cache has it.
    pip_scripts | while read -r name; do
        cat >"$home/.ansible/test/cache/$name" <<SCRIPT
import subprocess
import sys

arguments = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
subprocess.check_call(["$programs/python", "-m", "pip", "--python", sys.executable, "install", "--quiet", *arguments])
SCRIPT
    done
}

pip_scripts() {
    "$programs/python" -c 'import ansible_test, pathlib, re
source = pathlib.Path(ansible_test.__path__[0], "_internal", "python_requirements.py").read_text()
for version in sorted(set(re.findall(r"\bpip=.([\d.]+)", source))):
    print("get_pip_%s.py" % version.replace(".", "_"))'
}

prepare_home
python=$("$programs/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
targets=(--target-python "$python")
# Whether the plugins run on the oldest Python does not depend on ansible-core: one version is enough.
if [ "$version" = 2.16 ] && oldest=$(oldest_python); then
    targets+=(--target-python 3.9)
    # ansible-test takes the first one on PATH, which may be one of pyenv's that refuses to start.
    PATH=$programs:$(dirname "$oldest"):$PATH
fi
HOME=$home ansible-test sanity --requirements --controller "origin:python=$python" "${targets[@]}" "${@/#/--test=}"
