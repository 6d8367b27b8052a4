#!/usr/bin/env bash
# Writes what the terminal shows to the files that tests/integration/test_terminal.py compares it with, on the oldest and the newest
# supported ansible-core. For PYTHON and PYTHON_NEWEST see pythons.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/pythons.sh

failed=0
cores=()
set_up_cores screens 2.16 2.21 || failed=1
for core in "${cores[@]}"; do
    ".venv/core-$core/bin/python" tests/support/binaries.py 18
    ".venv/core-$core/bin/python" -m pytest tests/integration/test_terminal.py --full --approve --quiet -p no:cacheprovider || failed=1
done
exit "$failed"
