"""Answers that say nothing: what a service, or something in front of it, sends in place of what was asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from attrs import define, field, frozen

from gpurent.domain.evidence import Known, Unknown
from gpurent.errors import GpurentError, UnavailableError, UnexpectedResponse
from gpurent.testing.sandbox.service_faults import ServiceCall, ServiceFault, ServiceFaults

T = TypeVar("T")
RETRY_AFTER = timedelta(seconds=17)
AGENT = "gpurent"
FROM_PLUGIN = f"user-agent: {AGENT}"
"""What the product's own HTTP client sends: calls between simulators are no calls of the plugin."""
MAX_CALLS = 60
"""Of one query; what comes after that is not changed."""
_PAGE = (
    "<!DOCTYPE html><html><head><title>Just a moment</title></head><body><h1>One moment</h1></body></html>"
)
_NO_ROUTE = '{"message": "no Route matched with those values"}'
_PAUSE = (("retry-after", str(int(RETRY_AFTER.total_seconds()))),)
_RENAMED = ((r'"(\w+)"(\s*):', r'"x_\1"\2:'), (r"\b(id|class|name|data-[\w-]+|currency|rate)=", r"x-\1="))


class HasFaults(Protocol):
    """Whatever has services whose calls can go wrong."""

    @property
    def faults(self) -> ServiceFaults: ...


@frozen
class BadAnswer:
    """``name`` for messages; ``fault``: what happens to a call; ``is_lost``: there is no answer at all."""

    name: str
    fault: Mapping[str, Any]
    is_lost: bool = False

    async def apply(self, opened: HasFaults, nth: int, times: int | None) -> None:
        """Change the calls from the ``nth`` on, ``times`` of them (None: all)."""
        fields = {"service": "*", "contains": FROM_PLUGIN, "nth": nth, "times": times, **self.fault}
        await opened.faults.add(ServiceFault.from_json(fields))


BUSY = BadAnswer("429", {"status": 429, "body": "slow down", "headers": _PAUSE})
BAD_ANSWERS = (
    BUSY,
    BadAnswer("500", {"status": 500, "body": _PAGE}),
    BadAnswer("a page", {"status": 200, "body": _PAGE}),
    BadAnswer("404 of a gateway", {"status": 404, "body": _PAGE}),
    BadAnswer("403 of a gateway", {"status": 403, "body": _PAGE}),
    BadAnswer("nothing", {"status": 200, "body": ""}),
    BadAnswer("{}", {"status": 200, "body": "{}"}),
    BadAnswer("[]", {"status": 200, "body": "[]"}),
    BadAnswer("null", {"status": 200, "body": "null"}),
    BadAnswer("cut short", {"replacements": ((r"(?s)\A(.{1,40}).*\Z", r"\1"),), "after": True}),
    BadAnswer("other names", {"replacements": _RENAMED, "after": True}),
    BadAnswer("lost", {"lose": True}, is_lost=True),
)
NO_ROUTE = BadAnswer("404 of a gateway in JSON", {"status": 404, "body": _NO_ROUTE})
"""What an API gateway answers that has lost its service; to an action, it may be taken for a refusal."""
QUERY_ANSWERS = (*BAD_ANSWERS, NO_ROUTE)
LOST_BEFORE = BadAnswer("lost before the effect", {"lose": True}, is_lost=True)
EMPTY_AFTER = BadAnswer("{} after the effect", {"status": 200, "body": "{}", "after": True})
LOST_AFTER = BadAnswer("lost after the effect", {"lose": True, "after": True}, is_lost=True)


def choose_loss(call: str) -> BadAnswer:
    """Return the worse of both losses: a call that only reads has no effect."""
    return LOST_BEFORE if " GET " in call else LOST_AFTER


SPOILT_AFTER = (
    LOST_AFTER,
    BadAnswer("429 after the effect", {"status": 429, "body": "", "headers": _PAUSE, "after": True}),
    BadAnswer("502 after the effect", {"status": 502, "body": _PAGE, "after": True}),
    BadAnswer("a page after the effect", {"status": 200, "body": _PAGE, "after": True}),
    BadAnswer("delivered twice", {"duplicate": True}),
)


@define
class CallCounter:
    """How many calls the plugin has made since it was made."""

    _opened: HasFaults
    _start: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._start = self._opened.faults.call_count

    @property
    def count(self) -> int:
        return len(list_plugin_calls(self._opened.faults, self._start))


def list_plugin_calls(faults: ServiceFaults, since: int = 0) -> Sequence[ServiceCall]:
    """Return the plugin's calls after the first ``since`` of all calls."""
    return [call for call in faults.calls if call.number > since and call.agent == AGENT]


@asynccontextmanager
async def faulty(
    opened: HasFaults, answer: BadAnswer, nth: int = 1, times: int | None = None
) -> AsyncIterator[None]:
    """Within the block, calls from the ``nth`` on get the bad answer."""
    await answer.apply(opened, nth, times)
    try:
        yield
    finally:
        await opened.faults.clear()


async def check_query(
    opened: HasFaults,
    query: Callable[[], Awaitable[T]],
    show: Callable[[T], object],
    answers: Sequence[BadAnswer] = QUERY_ANSWERS,
) -> None:
    """Check that a bad answer to any call of the query makes it unavailable, and never another result.

    ``show``: what of the result is compared with the healthy one.
    """
    counter = CallCounter(opened)
    healthy = show(await query())
    for nth in range(1, min(counter.count, MAX_CALLS) + 1):
        for answer in answers:
            where = f"{answer.name} from call {nth} on"
            async with faulty(opened, answer, nth):
                found = await ask(query, where)
            if isinstance(found, GpurentError):
                _check_evidence(found, answer, where)
            elif isinstance(found, Unknown):
                assert answer is not BUSY or found.retry_after == RETRY_AFTER, (
                    f"{where}: retry_after is not passed on"
                )
            else:
                assert show(found) == healthy, f"{where}: it was taken for an answer: {found}"


async def ask(query: Callable[[], Awaitable[T]], where: str = "a bad answer") -> T | GpurentError:
    """Return the result of the query, or the error that says that there is none; any other error claims to know why.

    ``where``: the bad answer, for messages.
    """
    try:
        return await query()
    except (UnavailableError, UnexpectedResponse) as error:
        return error
    except GpurentError as error:
        raise AssertionError(
            f"{where}: it was taken for a refusal, {type(error).__name__}: {error.message}. An answer that is not "
            "understood raises UnavailableError (nothing came, 429, 5xx) or UnexpectedResponse (anything else)"
        ) from error


def show_known(found: Known[Any] | Unknown | None) -> object:
    """Return what a listing shows: its items in any order; None if it is unknown."""
    return sorted(map(repr, found.items)) if isinstance(found, Known) else None


def _check_evidence(error: GpurentError, answer: BadAnswer, where: str) -> None:
    if answer is not BUSY:
        return
    assert isinstance(error, UnavailableError), f"{where}: {type(error).__name__} says that it is broken"
    assert error.retry_after == RETRY_AFTER, f"{where}: retry_after is not passed on"
