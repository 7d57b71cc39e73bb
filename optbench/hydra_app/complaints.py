"""What Hydra and OmegaConf complain about, in one line that names the key and says what to do."""

from __future__ import annotations

import dataclasses
import re

from optbench.errors import MissingExtra

NOISE = (
    "full_key:",
    "object_type=",
    "reference_type=",
    "Set the environment variable",
    "Config search path:",
    "provider=",
    "To append to your config use",
    "See https://",
    "1. To use it as",
    "2. To use it as",
    "3. To sweep over",
)
"""Starts of lines in Hydra's messages that help nobody at the command line."""

QUOTES = "KEY=\"'a,b'\""
CLEARER: tuple[tuple[str, str], ...] = (
    (r"Error merging override ([^=\s]+)=.*? (?=Value |Invalid |Cannot |field )", r"\1: "),
    (r"\w+Error raised while composing config: ", ""),
    (
        r"Error when parsing index: \d+, string: (.*) out of \[.*?\]\."
        r"(?: Error parsing override '.*?'| \w+Exception:)?",
        r"\1 cannot be read (close brackets and quotes, and put values that hold , = : or brackets in "
        rf"quotes: {QUOTES}):",
    ),
    (
        r"Invalid type assigned: \w+ is not a subclass of \w+\. value: (.*)",
        r"it holds settings of its own and cannot be \1; set one of them with a dot, KEY.NAME=VALUE",
    ),
    (
        r"Invalid value assigned: (\w+) is not a ListConfig, TupleConfig, list, or tuple\.",
        r"a list is required, such as [a,b], found one \1",
    ),
    (
        r"Cannot assign (\w+) to Dict\[.*\]",
        r"names with values are required, such as '{a: b}', found one \1",
    ),
    (r"field '\w+' is not Optional", "a value is required, found null"),
    (
        r"Ambiguous value for argument '(.*)'",
        r"\1 holds several values: a sweep needs -m, a list brackets, 'KEY=[a,b]', and a text with commas "
        rf"quotes, {QUOTES}",
    ),
    (r"Sweep parameters '(.*)' requires --multirun", r"\1 holds several values; a sweep needs -m"),
    (
        r"Could not override '(\S+)'\. Key '.*' is not in struct",
        r"names of your own are added with a plus: '+\1={NAME: VALUE}'",
    ),
    (r"Cannot set '.*' because '(.*)' is None", r"it belongs to \1, which is not chosen"),
    (
        r"In '(experiment|recipe|sweep)/[^']*': Key '\1' not in 'RunConfig'.*",
        r"a file of the group \1 must begin with the line '# @package _global_'",
    ),
    (
        r"In 'quant/[^']*': Key 'quant' not in 'RunConfig'.*",
        "a file of the group quant must begin with the line '# @package quantization'",
    ),
)
"""Patterns of messages of Hydra 1.4 and OmegaConf 2.4, and what is said instead."""

GROUP_OF = {"quantization": "quant"}
"""Keys whose config group has another name."""
EXTRAS = {"joblib": "joblib", "ray": "ray", "submitit_local": "slurm", "submitit_slurm": "slurm"}
"""Launchers that are packages of their own, and the extra that brings each."""
MISSING_LAUNCHER = re.compile(r"'hydra/launcher/(\w+)'")
KEYS_THERE_ARE = "; it has "
"""Where the keys that a component has begin."""
CANNOT_BE = "it holds settings of its own and cannot be "


def complaint(error: BaseException) -> str:
    """The message of an error with its cause, where the suggestion stands, as one line."""
    parts = [str(error).strip()]
    cause = error.__cause__
    if cause is not None and str(cause).strip() not in parts[0]:
        parts.append(str(cause).strip())
    lines = [line.strip() for part in parts for line in part.splitlines() if line.strip()]
    keys = [line.removeprefix("full_key:").strip() for line in lines if line.startswith("full_key:")]
    kept = [line for line in lines if not line.startswith(NOISE) and not line.endswith("_schema")]
    text = " ".join(kept).removeprefix("In 'config': ")
    if (missing := MISSING_LAUNCHER.search(text)) and (extra := EXTRAS.get(missing[1])):
        return str(MissingExtra(f"hydra/launcher={missing[1]}", f"pip install 'optbench[{extra}]'"))
    for pattern, clearer in CLEARER:
        text = re.sub(pattern, clearer, text)
    if keys and keys[0] and keys[0] not in text:
        text = f"{keys[0]}: {text}"
    return text + known_keys(text, error) + known_group(text)


def known_keys(text: str, error: BaseException) -> str:
    """The keys that a component has, where one that it has not was named and none is like it."""
    holder = getattr(error.__cause__ or error, "object_type", None)
    if "' not in '" not in text or "Did you mean" in text or not dataclasses.is_dataclass(holder):
        return ""
    return f"{KEYS_THERE_ARE}{', '.join(one.name for one in dataclasses.fields(holder))}"


def known_group(text: str) -> str:
    """How an option is chosen, where its name was given to the component itself."""
    key, _, rest = text.partition(": ")
    if "." in key or not rest.startswith(CANNOT_BE):
        return ""
    value = rest.removeprefix(CANNOT_BE).partition(";")[0]
    return f", or choose an option with {GROUP_OF.get(key, key)}={value}"
