#!/usr/bin/env bash
# Builds the documentation into site/ (or $SITE), without network: broken links and anchors end it, and so does a page
# that would load something from elsewhere. With --strict the generated reference must be current too.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${VENV:-.venv}/bin
site=${SITE:-site}
if [ "${1:-}" = --strict ]; then
    "$bin/python" scripts/build_reference.py --check
fi
NO_MKDOCS_2_WARNING=1 "$bin/python" -m mkdocs --quiet build --strict --clean --site-dir "$(realpath -m "$site")"
"$bin/python" scripts/check_site.py "$site"
