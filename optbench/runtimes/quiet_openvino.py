"""OpenVINO without its telemetry: importing this module instead of openvino sends nothing to anybody.

`import openvino` reports the import to an analytics service, from a thread of its own that forks a
process (openvino 2026.4, openvino/tools/ovc/__init__.py). A measured process must have neither, and a
template with a second thread could not be forked. Without the package `openvino_telemetry` OpenVINO and
NNCF take their own stubs instead; None in sys.modules makes it look absent (importlib, "The module
cache"). Only workers and preparation processes import this module.
"""

from __future__ import annotations

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402, F401 - after its telemetry is out of the way
