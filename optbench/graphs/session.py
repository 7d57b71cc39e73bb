"""Graph optimization by the runtime itself, when a session is made."""

from __future__ import annotations

from dataclasses import dataclass

from optbench.components import Graph, register

LEVELS = ("default", "none", "basic", "extended", "all")


@register("graph", "session")
@dataclass
class SessionGraph(Graph):
    """The runtime's own level.

    level: none, basic, extended or all; default is whatever the runtime does when nothing is said.
    """

    level: str = "default"

    def problems(self) -> list[str]:
        """A level that does not exist."""
        if self.level in LEVELS:
            return []
        return [f"level must be one of {', '.join(LEVELS)}, got {self.level!r}; choose with graph="]
