"""The rules that every fuzzed input must keep, and the runner that tries them: a value or an error of the tree."""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random

from attrs import define, field, frozen

from gpurent.errors import GpurentError, InternalError
from gpurent.terminal_text import strip_terminal

MAX_SECONDS = 1.0
MAX_SHOWN = 2_000
MAX_NAME = 200
SHOWN_BREACHES = 20


class RuleBroken(AssertionError):
    """What an input did that no input may do."""


def require(condition: object, what: str) -> None:
    if not condition:
        raise RuleBroken(what)


def is_clean(text: str) -> bool:
    """Return whether ``text`` does nothing to a terminal."""
    return strip_terminal(text) == text


def check_error(error: GpurentError) -> None:
    """Check that an error says what it says within a few lines."""
    require(not isinstance(error, InternalError), "an internal error")
    for text in (error.message, error.hint, error.detail):
        require(is_clean(text), f"an error says {text[:200]!r}")
        require(len(text) <= MAX_SHOWN, f"an error of {len(text)} characters: {text[:80]!r}")


def check_identifier(text: str, what: str) -> None:
    """Check a name that a provider gives and that commands, file names and requests repeat."""
    fits = text.isprintable() and not text.startswith("-") and len(text) <= MAX_NAME
    require(fits, f"{what}: {text[:MAX_NAME]!r}")


@frozen(kw_only=True)
class FuzzFamily:
    """Inputs of one kind. ``try_case`` makes one, feeds it, and returns in a word what became of it: read, refused …

    It raises `RuleBroken`, or lets whatever the product raised pass; an error of the tree is an answer too.
    """

    name: str
    summary: str
    open_cases: Callable[[], Callable[[Random], str]]
    """Makes what all inputs of one seed share."""


@frozen(kw_only=True)
class Breach:
    number: int
    what: str

    def __str__(self) -> str:
        return f"case {self.number}: {self.what}"


@define
class FuzzResult:
    tried: int = 0
    outcomes: Counter[str] = field(factory=Counter)
    breaches: list[Breach] = field(factory=list)
    slowest: float = 0.0


def run_cases(name: str, try_case: Callable[[Random], str], seed: int, count: int) -> FuzzResult:
    """Try ``count`` inputs of one seed; the time of each is processor time, which does not grow with the load."""
    result = FuzzResult()
    for number in range(count):
        random = Random(f"{name}/{seed}/{number}")
        started = time.thread_time()
        try:
            outcome, what = _try_one(try_case, random)
        finally:
            passed = time.thread_time() - started
        if passed > MAX_SECONDS:
            outcome, what = "broken", f"{passed:.1f} s"
        result.tried += 1
        result.outcomes[outcome] += 1
        result.slowest = max(result.slowest, passed)
        if what:
            result.breaches.append(Breach(number=number, what=what))
    return result


def _try_one(try_case: Callable[[Random], str], random: Random) -> tuple[str, str]:
    """Return what became of one input, and the rule that it broke, or an empty text."""
    try:
        try:
            return try_case(random), ""
        except GpurentError as error:
            check_error(error)
            return type(error).__name__, ""
    except RuleBroken as broken:
        return "broken", str(broken)
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return "broken", f"{type(error).__name__}: {error}; {' < '.join(_list_frames(error))}"


def _list_frames(error: BaseException) -> Iterator[str]:
    for frame in reversed(traceback.extract_tb(error.__traceback__)[-4:]):
        yield f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
