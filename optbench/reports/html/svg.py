"""Drawings as SVG elements: text and attributes are escaped by the XML library, never by hand.

Looks come from CSS classes (files/chart.css), so that a drawing follows the page into the dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from optbench.reports.html.parts import visible
from optbench.reports.html.scales import Scale

NAMESPACE = "http://www.w3.org/2000/svg"
ENLARGED = 1.2
"""How much larger than its own units a drawing is shown where there is room."""


class Drawing:
    """A drawing of fixed size in its own units; the page scales it."""

    def __init__(self, name: str, width: float, height: float, title: str, description: str) -> None:
        self.name, self.width, self.height = name, width, height
        self.root = ElementTree.Element(
            "svg",
            {
                "viewBox": f"0 0 {width:g} {height:g}",
                "width": f"{ENLARGED * width:.0f}",
                "class": "chart",
                "role": "img",
                "aria-labelledby": f"{name}-title {name}-desc",
            },
        )
        self.element("title", title, id=f"{name}-title")
        self.element("desc", description, id=f"{name}-desc")

    def element(self, tag: str, text: str | None = None, /, **attributes: object) -> ElementTree.Element:
        """Append an element; underscores in names of attributes are hyphens, `kind` is the class."""
        made = ElementTree.SubElement(self.root, tag)
        for key, value in attributes.items():
            if value is None or value == "":
                continue
            name = "class" if key == "kind" else key.replace("_", "-")
            made.set(name, f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value))
        if text is not None:
            made.text = visible(text)
        return made

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """A straight line."""
        self.element("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), kind=kind)

    def rect(self, x: float, y: float, width: float, height: float, kind: str, **more: object) -> None:
        """A rectangle; of negative extent, none at all."""
        place = {"x": float(x), "y": float(y)}
        size = {"width": float(max(0.0, width)), "height": float(max(0.0, height))}
        self.element("rect", None, **place, **size, kind=kind, **more)

    def text(self, x: float, y: float, text: str, kind: str = "", anchor: str = "") -> None:
        """Words at a place; anchor: start, middle or end."""
        self.element("text", text, x=float(x), y=float(y), kind=kind, text_anchor=anchor)

    def path(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """A line through points."""
        if points:
            steps = " L".join(f"{x:.2f} {y:.2f}" for x, y in points)
            self.element("path", d=f"M{steps}", kind=kind)

    def mark(self, x: float, y: float, radius: float, kind: str, tip: str, value: float) -> None:
        """A dot that answers the pointer with `tip` and holds its value with all digits."""
        self.element(
            "circle",
            cx=float(x),
            cy=float(y),
            r=float(radius),
            kind=f"mark {kind}",
            data_tip=visible(tip),
            data_value=repr(float(value)),
        )


def horizontal_axis(
    drawing: Drawing, across: Scale, top: float, bottom: float, texts: Sequence[tuple[float, str]], name: str
) -> None:
    """Grid lines with their texts below, and what the axis tells."""
    drawing.line(across.start, bottom, across.end, bottom, "axis")
    last = float("-inf")
    for value, text in texts:
        place = across(value)
        drawing.line(place, top, place, bottom, "grid")
        if place - last > 7.2 * len(text) + 6:
            drawing.text(place, bottom + 17, text, "tick", "middle")
            last = place
    drawing.text((across.start + across.end) / 2, bottom + 36, name, "name", "middle")


def vertical_axis(
    drawing: Drawing, up: Scale, left: float, right: float, texts: Sequence[tuple[float, str]], name: str
) -> None:
    """Grid lines with their texts at the left; the name stands above the axis, where it can be read."""
    for value, text in texts:
        place = up(value)
        drawing.line(left, place, right, place, "grid")
        drawing.text(left - 7, place + 4, text, "tick", "end")
    drawing.line(left, up.start, left, up.end, "axis")
    drawing.text(4, min(up.start, up.end) - 10, name, "name")


def to_text(svg: ElementTree.Element, css: str = "") -> str:
    """A drawing as markup for a page; with `css`, as a file of its own."""
    if not css:
        return ElementTree.tostring(svg, encoding="unicode")
    alone = ElementTree.Element("svg", {"xmlns": NAMESPACE, **svg.attrib})
    _, _, width, height = svg.attrib["viewBox"].split()
    alone.attrib |= {"width": width, "height": height}
    style = ElementTree.SubElement(alone, "style")
    style.text = css
    ElementTree.SubElement(alone, "rect", {"width": width, "height": height, "class": "paper"})
    alone.extend(list(svg))
    return ElementTree.tostring(alone, encoding="unicode") + "\n"
