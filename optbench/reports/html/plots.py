"""Charts as files of their own, with their legend: SVG that follows the reader into the dark, or PNG."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree

from optbench.errors import MissingExtra
from optbench.reports.html.pages import Section, charts_of, file_text
from optbench.reports.html.parts import Chart
from optbench.reports.html.svg import Drawing, to_text

LEGEND_HEIGHT = 26.0
SWATCH = 12.0
LETTER = 7.0
"""About the width of a letter of a legend, in units of the drawing."""
PNG_ZOOM = 3.0
"""Pixels per unit: sharp in print at the width of a column."""
PAPER = "#ffffff"
DARK = re.compile(r"@media \(prefers-color-scheme: dark\) \{\s*:root \{.*?\}\s*\}", re.DOTALL)


def write_plots(sections: Sequence[Section], directory: Path, png: bool = False) -> list[Path]:
    """Write every chart of a page as DIRECTORY/NAME.svg, or .png; returns their paths.

    Raises OSError, and MissingExtra where PNG is asked for and cannot be made.
    """
    from optbench.records import write_atomically

    encode, ending = (png_encoder(), "png") if png else (to_svg, "svg")
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for chart in charts_of(list(sections)):
        path = directory / f"{chart.name}.{ending}"
        write_atomically(path, encode(chart))
        written.append(path)
    return written


def to_svg(chart: Chart) -> bytes:
    """A chart as an SVG file, light or dark as its reader prefers."""
    return to_text(with_legend(chart), file_text("chart.css")).encode()


def png_encoder() -> Callable[[Chart], bytes]:
    """Makes PNG, in the light colours. Raises MissingExtra."""
    try:
        from resvg_py import svg_to_bytes
    except ImportError:
        raise MissingExtra("--png", "pip install 'optbench[png]'") from None

    style = plain_style(file_text("chart.css"))

    def encode(chart: Chart) -> bytes:
        text = to_text(with_legend(chart), style)
        return bytes(svg_to_bytes(svg_string=text, background=PAPER, zoom=PNG_ZOOM))

    return encode


def plain_style(css: str) -> str:
    """The style sheet with its light colours written out: converters know neither variables nor media."""
    light = DARK.sub("", css)
    root = re.search(r":root \{(.*?)\}", light, re.DOTALL)
    colours = dict(re.findall(r"(--\w+): ([^;]+);", root.group(1) if root is not None else ""))
    return re.sub(r"var\((--\w+)\)", lambda found: colours[found.group(1)], light)


def with_legend(chart: Chart) -> ElementTree.Element:
    """The drawing with its legend above; the drawing itself where it has none."""
    if not chart.legend:
        return chart.svg
    _, _, width, height = (float(part) for part in chart.svg.attrib["viewBox"].split())
    drawing = Drawing(chart.name, width, height + LEGEND_HEIGHT, chart.title, chart.description)
    x = SWATCH
    for name, kind in chart.legend:
        drawing.rect(x, SWATCH / 2, SWATCH, SWATCH, kind)
        drawing.text(x + 1.5 * SWATCH, 1.5 * SWATCH - 2, name, "value")
        x += 3.5 * SWATCH + LETTER * len(name)
    inner = copy.deepcopy(chart.svg)
    for key in ("role", "aria-labelledby"):
        inner.attrib.pop(key, None)
    inner.attrib |= {"x": "0", "y": f"{LEGEND_HEIGHT:g}", "width": f"{width:g}", "height": f"{height:g}"}
    drawing.root.append(inner)
    return drawing.root
