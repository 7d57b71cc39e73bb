#!/usr/bin/env bash
# Style, types and the order of the layers, as CI checks them.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${VENV:-.venv}/bin
"$bin/ruff" check .
"$bin/ruff" format --check .
"$bin/mypy"
"$bin/pytest" -q tests/test_layers.py
