"""Pages from templates: one file that loads nothing, runs only its own script, and takes text as text."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from optbench import __version__
from optbench.locations import package_file
from optbench.reports.html.parts import Chart, Table, visible
from optbench.reports.html.svg import to_text

if TYPE_CHECKING:
    from jinja2 import Environment

FILES = "reports/html/files"
LONGEST_BLOCK = 200_000
"""Of a config or a traceback; nothing else is that long."""


@dataclass(frozen=True)
class Section:
    """A part of a page: charts, then tables; `folded` tables are shown when asked for."""

    name: str
    title: str
    text: str = ""
    charts: list[Chart] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    folded: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    code: list[tuple[str, str]] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.charts or self.tables or self.folded or self.notes or self.code)


def render(title: str, sections: list[Section], **parts: Any) -> str:
    """The page as HTML. Text in `parts` and sections is escaped; only drawings are markup."""
    style = file_text("chart.css") + file_text("page.css")
    script = file_text("page.js")
    page = environment().get_template("page.html.j2")
    shown = [section for section in sections if not section.is_empty]
    policy = "; ".join(
        (
            "default-src 'none'",
            f"style-src '{digest(style)}'",
            f"script-src '{digest(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    return page.render(
        title=visible(title, 200),
        sections=shown,
        style=style,
        script=script,
        policy=policy,
        version=__version__,
        **parts,
    )


def digest(text: str) -> str:
    """The source expression of a Content-Security-Policy that allows just this text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@functools.cache
def file_text(name: str) -> str:
    """A file of the package: a template, the style, the script."""
    return (package_file(FILES) / name).read_text(encoding="utf-8")


@functools.cache
def environment() -> Environment:
    """Jinja with escaping always on: all text is shown as text, an undefined name is an error."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    made = Environment(
        loader=FunctionLoader(file_text),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: visible(value, LONGEST_BLOCK) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["drawing"] = lambda chart: Markup(to_text(chart.svg))
    made.filters["trusted"] = Markup  # the package's own style and script
    return made


def charts_of(sections: list[Section]) -> list[Chart]:
    """All charts of a page, in order."""
    return [chart for section in sections for chart in section.charts]


def config_text(config: Mapping[str, Any]) -> str:
    """A config as indented JSON."""
    return json.dumps(config, indent=2, ensure_ascii=False, default=str)
