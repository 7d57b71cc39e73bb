"""Text of unknown origin, made harmless for Markdown: a path in a result may hold anything."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 300
"""Of a name; sentences are never cut, as their end may say what matters most."""
UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories: controls, changes of direction, surrogates, private and unassigned, separators."""

MARKUP = re.compile(r"([\\`*_\[\]#|~$])")
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
LINKS = {"://": "&#58;//", "www.": "www&#46;", "@": "&#64;"}


def one_line(text: object, longest: int | None = None) -> str:
    """The text on one line, without control and direction characters, cut where it is longer."""
    kept = (" " if unicodedata.category(one) in UNSEEN else one for one in str(text))
    line = " ".join("".join(kept).split())
    return line if longest is None or len(line) <= longest else line[: longest - 1] + "…"


def markdown(text: object, longest: int | None = None) -> str:
    """The text as Markdown shows it: no markup, no HTML, no links, no mentions; fit for a table's cell."""
    line = "".join(ENTITIES.get(one, one) for one in one_line(text, longest))
    line = MARKUP.sub(r"\\\1", line)
    for mark, harmless in LINKS.items():
        line = line.replace(mark, harmless)
    return line


def fenced(text: str, language: str = "") -> str:
    """A code block that nothing in `text` can close; lines stay, other control characters go."""
    runs = re.findall(r"`{3,}", text)
    fence = "`" * (max(map(len, runs), default=2) + 1)
    return f"{fence}{language}\n" + lines(text) + f"\n{fence}"


def lines(text: str) -> str:
    """The text with its lines, and nothing in them that cannot be seen: nothing that steers a terminal."""
    return "\n".join(map(clean, text.split("\n")))


def clean(line: str) -> str:
    """A line as it is, but for what cannot be seen."""
    return "".join(" " if unicodedata.category(one) in UNSEEN else one for one in line).rstrip()
