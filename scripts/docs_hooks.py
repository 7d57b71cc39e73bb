"""What mkdocs cannot do by itself: pages from outside docs/, and a place in the menu for every page.

CHANGELOG.md and outputs/README.md stay where people look for them; the site shows them as pages.
Decisions, and pages that mkdocs.yml does not list, are added to the menu, so that no file is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = {"changes.md": "CHANGELOG.md", "outputs.md": "outputs/README.md"}
"""Page to the file that it shows."""


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that lie outside docs/, and complete the menu."""
    from mkdocs.structure.files import File

    for page, source in OUTSIDE.items():
        content = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=content))
    pages = [file.src_uri for file in files.documentation_pages()]
    config.nav = complete(config.nav, pages)
    return files


def complete(nav: list[Any], pages: list[str]) -> list[Any]:
    """The menu with a section for decisions, one for pages that it lacks, and the changes at the end."""
    listed = {*leaves(nav), "changes.md"}
    rest = sorted(page for page in pages if page not in listed)
    decisions = [page for page in rest if page.startswith("decisions/")]
    others = [page for page in rest if page not in decisions]
    added: list[Any] = [{"Decisions": decisions}] if decisions else []
    added += [{"More": others}] if others else []
    return [*nav, *added, {"Changes": "changes.md"}]


def leaves(node: Any) -> Iterator[str]:
    """The pages of a menu."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for value in node.values():
            yield from leaves(value)
    else:
        for item in node:
            yield from leaves(item)
