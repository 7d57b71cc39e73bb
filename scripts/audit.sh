#!/usr/bin/env bash
# Looks the versions of constraints.txt up in the database of known vulnerabilities, with pip-audit in an
# environment of its own.
# Exit codes: 0 nothing is known, 1 something is, 3 the audit could not be made, or not of every package (no
# pip-audit, no service). Further arguments go to pip-audit, such as --vulnerability-service osv.
set -uo pipefail
cd "$(dirname "$0")/.."
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
could_not() {
    echo "audit: could not be made: $1" >&2
    exit 3
}
if [ -n "${PIP_AUDIT:-}" ]; then
    audit=$PIP_AUDIT
else
    "${PYTHON:-python3}" -m venv "$place/venv" || could_not "no environment can be made with ${PYTHON:-python3}"
    "$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check pip-audit ||
        could_not "pip-audit cannot be installed from the package registry"
    audit=$place/venv/bin/pip-audit
fi
"$audit" --requirement constraints.txt --no-deps --disable-pip --timeout "${AUDIT_TIMEOUT:-15}" \
    --progress-spinner off --format json --output "$place/found.json" "$@" 2> "$place/errors"
if [ ! -s "$place/found.json" ]; then
    could_not "$(tail -n 1 "$place/errors")"
fi
"${PYTHON:-python3}" - "$place/found.json" <<'PYTHON'
import json
import sys

packages = json.load(open(sys.argv[1]))["dependencies"]
found = [(one, bug) for one in packages for bug in one.get("vulns", [])]
for one, bug in found:
    fixed = ", ".join(bug["fix_versions"]) or "none yet"
    print(f"{one['name']} {one['version']}: {bug['id']}, fixed in: {fixed}")
skipped = [f"{one['name']}: {one['skip_reason']}" for one in packages if "skip_reason" in one]
for line in skipped[:3]:
    print(f"not looked up: {line}")
print(
    f"audit: {len(packages) - len(skipped)} packages looked up, {len(skipped)} not, "
    f"{len(found)} known vulnerabilities"
)
if skipped:
    print("audit: could not be made of every package; is the advisory service reachable?", file=sys.stderr)
sys.exit(1 if found else 3 if skipped else 0)
PYTHON
