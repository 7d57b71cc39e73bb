"""`optbench cache list`, `verify` and `clear`; what they need is imported when they run."""

from __future__ import annotations

import sys
import time
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from optbench.errors import ConfigError
from optbench.locations import cache_directory
from optbench.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from optbench.artifacts.cache import Listed

app = typer.Typer(
    name="cache", no_args_is_help=True, help="Prepared models: what is kept, and how to part with it."
)

DAY_SECONDS = 86_400


class ListFormat(Enum):
    """How a list is printed."""

    table = "table"
    json = "json"


@app.command("list")
def list_entries(
    format_: Annotated[ListFormat, typer.Option("--format", help="What is printed.")] = ListFormat.table,
) -> None:
    """Each entry: what it was made from, its size and age, and when it was last used."""
    from optbench.artifacts import cache

    found = cache.listing(cache_directory())
    if format_ is ListFormat.json:
        sys.stdout.write(as_json(found))
    else:
        show(found)


def as_json(found: list[Listed]) -> str:
    """The entries as a record."""
    from optbench import __version__
    from optbench.records import to_json
    from optbench.records.cache import CacheEntry, CacheListing

    listing = CacheListing(
        optbench_version=__version__,
        directory=str(cache_directory()),
        size_bytes=sum(item.size_bytes for item in found),
        entries=[
            CacheEntry(
                key=item.key,
                step=item.step,
                model=item.model,
                made_as=item.recipe,
                size_bytes=item.size_bytes,
                made_at=moment(item.made_at),
                used_at=moment(item.used_at),
            )
            for item in found
        ],
    )
    return to_json(listing).decode()


def moment(seconds: float | None) -> str | None:
    """Seconds since 1970 as a time in UTC; null where no calendar has them."""
    from datetime import datetime, timezone

    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc).isoformat()
    except (ValueError, OverflowError, OSError):
        return None


def show(found: list[Listed]) -> None:
    """The entries as a table, and their number and size."""
    from rich.table import Table
    from rich.text import Text

    from optbench.reports.console import console, say

    out = console(sys.stdout)
    if found:
        if not out.is_terminal:
            out.width = 160
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("key", "model", "made as"):
            table.add_column(name, overflow="fold")
        for name in ("size", "made", "used"):
            table.add_column(name, justify="right", no_wrap=True)
        for item in found:
            times = (ago(item.made_at), ago(item.used_at))
            cells = (item.key, item.model or "?", item.recipe, format_bytes(item.size_bytes), *times)
            table.add_row(*map(Text, cells))
        out.print(table)
    total = format_bytes(sum(item.size_bytes for item in found))
    say(out, f"{entries(len(found))}, {total}, in {cache_directory()}")


@app.command("verify")
def verify_entries() -> None:
    """Hash every file of every entry; exit code 1 if one is not what it was."""
    from optbench.artifacts import cache
    from optbench.reports.console import console, say

    out, damaged, count = console(sys.stdout), 0, 0
    for key, reason in cache.faults(cache_directory()):
        count += 1
        damaged += reason is not None
        say(out, f"{key}  {'whole' if reason is None else 'NOT WHOLE: ' + reason}")
    if damaged:
        say(out, f"{damaged} of {count} not whole: made anew when next needed, or: optbench cache clear KEY")
        raise typer.Exit(1)
    say(out, f"{entries(count)}, all whole")


@app.command("clear")
def clear_entries(
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY]...", help="Keys or their beginnings; all by default.")
    ] = None,
    older_than: Annotated[
        str | None, typer.Option(help="Only those unused for so long: 12h, 30d, 2w.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove entries; those in use stay."""
    from optbench.artifacts import cache
    from optbench.reports.console import console, say

    out, root = console(sys.stdout), cache_directory()
    seconds = None if older_than is None else cache.duration_seconds(older_than)
    found = cache.chosen(root, keys or [], seconds)
    if found and not yes:
        ask(found)
    done = cache.clear(root, [item.key for item in found])
    for key in done.busy:
        say(out, f"{key} is in use and stays")
    freed = f"{format_bytes(done.freed_bytes)} ({done.freed_bytes:,} bytes)"
    say(out, f"removed {entries(len(done.keys))}, freed {freed}")


def entries(count: int) -> str:
    """A number of entries in words."""
    return f"{count} entr{'y' if count == 1 else 'ies'}"


def ask(found: list[Listed]) -> None:
    """Let the user confirm on the terminal. Raises ConfigError where there is none, Exit on a no."""
    if not sys.stdin.isatty():
        raise ConfigError("there is no terminal to ask on; add --yes to remove the entries without asking")
    total = format_bytes(sum(item.size_bytes for item in found))
    if not typer.confirm(f"Remove {entries(len(found))}, {total}?"):
        raise typer.Exit


def ago(moment: float | None) -> str:
    """How long ago a moment was, in days from two days on."""
    if moment is None:
        return "?"
    seconds = max(0.0, time.time() - moment)
    if seconds < 60:
        return "now"
    days = seconds >= 2 * DAY_SECONDS
    return f"{seconds / DAY_SECONDS:.0f} d ago" if days else f"{format_seconds(seconds)} ago"
