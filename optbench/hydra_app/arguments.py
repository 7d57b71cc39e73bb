"""The words of a run's command line, looked at before Hydra sees them: flags, tools, KEY=VALUE."""

from __future__ import annotations

import contextlib
import io
from argparse import Namespace
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from hydra._internal.utils import get_args_parser

from optbench.locations import CONFIG_NAME

OWN_FLAGS = {"--quiet": "-q", "--verbose": "-v"}
"""What people type for flags that have a letter only."""


def words_of(arguments: Sequence[str]) -> Namespace:
    """A command line as Hydra reads it, with its overrides, config_dir and config_name."""
    return get_args_parser().parse_known_intermixed_args(list(arguments))[0]


def own_places(words: Namespace) -> list[Path]:
    """The user's own config directory, if there is one."""
    return [] if words.config_dir is None else [Path(words.config_dir)]


def own_name(words: Namespace) -> str:
    """The config to start from."""
    return str(words.config_name or CONFIG_NAME)


def argument_problems(arguments: Sequence[str], tools: Sequence[str]) -> list[str]:
    """What cannot be part of a run's command line, each with what may have been meant."""
    heard = io.StringIO()
    try:
        with contextlib.redirect_stderr(heard):
            found, unknown = get_args_parser().parse_known_intermixed_args(list(arguments))
    except SystemExit as end:
        if not end.code:  # --version
            return []
        reason = heard.getvalue().strip().rpartition("error: ")[2]  # after a usage that names another program
        return [f"{reason}; see optbench --help"]
    if unknown:
        return [unknown_flag(word, arguments) for word in unknown]
    if any(word.strip("=") == "" for word in found.overrides):
        return ["settings are written KEY=VALUE, without spaces around the equals sign; see optbench --help"]
    words = [word for word in found.overrides if not is_override(word)]
    if words and (torn := torn_apart(found.overrides)):
        return [f"'{torn}' must be put in quotes, for the shell has split it at its spaces"]
    if words and found.overrides[0] == words[0] and get_close_matches(words[0], tools, n=1):
        words = words[:1]  # what follows a mistyped tool belongs to it
    return [unknown_word(word, tools) for word in words]


def torn_apart(words: Sequence[str]) -> str | None:
    """An override and the words after it, where it opens a bracket or brace that it does not close."""
    for place, word in enumerate(words):
        if is_override(word) and any(word.count(one) > word.count(two) for one, two in ("[]", "{}")):
            return " ".join(words[place:])
    return None


def is_override(word: str) -> bool:
    """Whether a word may be KEY=VALUE, or ~KEY, which takes a key away."""
    return "=" in word.lstrip("=") or (word.startswith("~") and len(word) > 1)


def unknown_flag(argument: str, arguments: Sequence[str]) -> str:
    """A flag that is none, and how the setting of its name is written."""
    name, _, value = argument.partition("=")
    if name in OWN_FLAGS:
        return f"{name} is no flag of optbench; write {OWN_FLAGS[name]}"
    if not name.startswith("--"):
        return f"{name} is no flag of optbench; see optbench --help"
    following = arguments[arguments.index(argument) + 1 :][:1] if argument in arguments else []
    if not value and following and not following[0].startswith("-") and "=" not in following[0]:
        value = following[0]
    key = name.lstrip("-").replace("-", "_")
    return (
        f"{name} is no flag of optbench; settings are written {key}={value or 'VALUE'}, see optbench --help"
    )


def unknown_word(word: str, tools: Sequence[str]) -> str:
    """A word that is neither a tool nor an override."""
    if "=" in word:
        return f"{word} must be KEY=VALUE, and names no key; see optbench --help"
    close = get_close_matches(word, tools, n=1)
    meant = f"; did you mean optbench {close[0]}?" if close else "; see optbench --help"
    return f"{word} must be KEY=VALUE, or one of {', '.join(tools)} as the first word{meant}"
