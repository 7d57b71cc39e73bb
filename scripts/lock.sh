#!/usr/bin/env bash
# Renews constraints.txt from a fresh environment with every development dependency at its newest allowed
# version. Without exact versions pip's search takes about ten minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"${PYTHON:-python3}" -m venv "$place"
"$place/bin/python" -m pip install --quiet -e '.[dev]'
"$place/bin/python" -m pip check
{
    head -n 1 constraints.txt
    "$place/bin/python" -m pip freeze --exclude optbench | sed 's/^\(torch==[^+]*\).*/\1/'
} > "$place/constraints.txt"
cp "$place/constraints.txt" constraints.txt
