"""The table of cases, and how one is judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from faults.bench import Bench, Unfit


@dataclass(frozen=True)
class Case:
    """A fault, the exit code that is documented for it, and the steps that cause it.

    group: cases of one group are chosen together.
    """

    name: str
    group: str
    expected: int
    steps: Callable[[Bench], None]


@dataclass(frozen=True)
class Row:
    """What was seen of a case. reason: why it could not be shown here."""

    case: Case
    exit_code: int | None = None
    message: str = ""
    orphans: int = 0
    problems: list[str] = field(default_factory=list)
    reason: str | None = None

    @property
    def verdict(self) -> str:
        """PASS, FAIL, or SKIP."""
        if self.reason is not None:
            return "SKIP"
        return "FAIL" if self.problems else "PASS"


CASES: list[Case] = []


def case(
    name: str, group: str, expected: int
) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
    """Decorator: the steps of a case; the last run that they end must have the expected exit code."""

    def add(steps: Callable[[Bench], None]) -> Callable[[Bench], None]:
        CASES.append(Case(name, group, expected, steps))
        return steps

    return add


def judge(case: Case, place: Path) -> Row:
    """Cause the fault in an empty directory, and look at what it leaves."""
    bench = Bench(place)
    try:
        case.steps(bench)
    except Unfit as reason:
        return Row(case, reason=str(reason))
    except AssertionError as error:
        bench.problems.append(str(error))
    except Exception as error:  # such as a file that is not there: the other faults are still to come
        bench.problems.append(f"{type(error).__name__}: {error}")
    orphans = bench.orphans()
    bench.expect(not orphans, f"{len(orphans)} processes still run: {orphans}")
    for lock in bench.stale_locks():
        bench.problems.append(f"{lock} is still held")
    for name in bench.leftovers():
        bench.problems.append(f"{name} is left")
    code = None if bench.ended is None else bench.ended.code
    bench.expect(code == case.expected, f"exit code {code} instead of {case.expected}")
    return Row(case, code, bench.message, len(orphans), bench.problems)
