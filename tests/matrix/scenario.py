"""A scenario: what a user does at a provider; the judge knows the command line and the service's books alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from attrs import field, frozen

from tests.reliability.providers import TestableProvider
from tests.reliability.user_sandbox import TypedCommand, UserSandbox

Play = Callable[[UserSandbox], Awaitable[None]]

NEEDS: Mapping[str, Callable[[TestableProvider], bool]] = {
    "renewal": lambda provider: provider.renews,
    "staging": lambda provider: provider.stages,
    "restart": lambda provider: provider.restarts or provider.stops,
    "spot": lambda provider: provider.interrupts,
    "late list": lambda provider: provider.lists_late,
    "balance": lambda provider: provider.has_balance,
}
"""The capabilities without which a scenario means nothing, by the words of the table."""


@frozen(kw_only=True)
class Scenario:
    """``projects``: the numbers of the jobs that must be done in the end; ``is_ledger_whole``: the Store was not lost.

    ``machines``: how many the provider has; ``is_funded``: the account has money.
    """

    name: str
    play: Play
    needs: tuple[str, ...] = ()
    projects: tuple[int, ...] = ()
    machines: int = 3
    is_funded: bool = True
    is_ledger_whole: bool = True
    must_end: bool = True
    job_seconds: float = 0.1

    def find_missing(self, provider: TestableProvider) -> str:
        """Return the capability that the provider lacks; empty if it can do all of this."""
        return next((need for need in self.needs if not NEEDS[need](provider)), "")


@frozen
class ScenarioList:
    """Scenarios by the order in which they were declared."""

    found: dict[str, Scenario] = field(factory=dict)

    def add(self, **options: object) -> Callable[[Play], Play]:
        """Return a decorator that declares a scenario by its function's name."""

        def declare(play: Play) -> Play:
            name = play.__name__.replace("_", " ")
            self.found[name] = Scenario(name=name, play=play, **options)  # type: ignore[arg-type]
            return play

        return declare


def require(typed: TypedCommand, *codes: int) -> TypedCommand:
    """Return the command; it must have ended with one of ``codes``, or with 0."""
    assert typed.code in (codes or (0,)), typed
    return typed
