"""No tracker: results stay in their directories."""

from __future__ import annotations

from dataclasses import dataclass

from optbench.components import register
from optbench.tracking.tracker import Tracking


@register("tracking", "none")
@dataclass
class NoTracking(Tracking):
    """Nothing is logged anywhere."""
