#!/usr/bin/env bash
# Creates the environment $VENV with optbench and its development tools, at the versions of
# constraints.txt. The exact versions save pip a search of ten minutes; what is left is mostly torch and its like,
# downloaded and unpacked: 3.5 to 4.5 minutes on two cores where pip has nothing cached.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
venv=${VENV:-.venv}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    echo "optbench needs Python 3.10 or newer; '$python' is $("$python" --version 2>&1). Set PYTHON=." >&2
    exit 2
}
echo "installing optbench and its libraries into $venv (PyTorch among them): three to five minutes at first" >&2
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
