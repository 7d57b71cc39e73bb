"""Does a built site load anything from elsewhere? `python scripts/check_site.py site` ends with 1 if it does.

Links that a reader may follow are no business of this script; what a page loads by itself is.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

LOADING = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "iframe": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "source": ("src", "srcset"),
    "video": ("src", "poster"),
    "audio": ("src",),
    "input": ("src",),
    "use": ("href", "xlink:href"),
    "image": ("href", "xlink:href"),
}
"""Attributes that make a browser load what they name."""

LOADED_LINKS = {
    "stylesheet",
    "icon",
    "preload",
    "prefetch",
    "preconnect",
    "dns-prefetch",
    "modulepreload",
    "manifest",
}
"""Relations of <link> that a browser follows by itself."""

ELSEWHERE = re.compile(r"^\s*(?:https?:)?//", re.IGNORECASE)
IN_STYLES = re.compile(r"(?:url\(\s*['\"]?|@import\s+['\"])((?:https?:)?//[^'\")\s]+)", re.IGNORECASE)


class Page(HTMLParser):
    """Collects what a page loads from other hosts."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at what an element loads, and for diagrams that the theme would fetch a script for."""
        values = {name: value or "" for name, value in attrs}
        names = LOADING.get(tag, ())
        if tag == "link" and LOADED_LINKS & set(values.get("rel", "").lower().split()):
            names = ("href",)
        self.found += [
            f"<{tag} {name}={values[name]}>" for name in names if ELSEWHERE.match(values.get(name, ""))
        ]
        self.found += [f"style {address}" for address in IN_STYLES.findall(values.get("style", ""))]
        if "mermaid" in values.get("class", "").split():
            self.found.append("a mermaid diagram, which the theme draws with a script from elsewhere")


def loaded_from_elsewhere(file: Path) -> list[str]:
    """What one file of a site makes a browser load from other hosts."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".html":
        page = Page()
        page.feed(text)
        return page.found + [f"style {address}" for address in IN_STYLES.findall(text)]
    return [f"style {address}" for address in IN_STYLES.findall(text)]


def findings(site: Path) -> Iterator[str]:
    """One line for each thing that a page or style sheet of the site loads from elsewhere."""
    for file in sorted(site.rglob("*")):
        if file.suffix in (".html", ".css", ".svg"):
            for found in dict.fromkeys(loaded_from_elsewhere(file)):
                yield f"{file.relative_to(site)}: {found}"


def main(arguments: list[str]) -> int:
    """Print what is loaded from elsewhere; 1 if anything is, 2 without a site."""
    if len(arguments) != 1 or not list(Path(arguments[0]).glob("*.html")):
        print("usage: python scripts/check_site.py SITE, a folder of built pages", file=sys.stderr)
        return 2
    found = list(findings(Path(arguments[0])))
    print("\n".join(found) if found else f"{arguments[0]}: no page loads anything from elsewhere")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
