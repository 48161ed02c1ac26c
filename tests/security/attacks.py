"""Attacks as rows: whose they are, what is tried, what happens. A test of this package declares one with `attack`."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

from attrs import frozen

F = TypeVar("F", bound=Callable[..., Any])


class Adversary(Enum):
    """Who attacks; the chapters of the threat model."""

    REPOSITORY = "author of a repository"
    MAIL_SENDER = "sender of mail"
    NETWORK = "network"
    PROVIDER = "provider"
    MACHINE_OWNER = "owner of the machine"
    LOCAL_USER = "other user of this computer"
    PLUGIN_AUTHOR = "author of a plugin"
    CHAIN_NODE = "chain node"


class Outcome(Enum):
    REFUSED = "refused"
    ASKED = "asked, also with -y"
    ASKED_ONCE = "asked; -y agrees"
    KEPT_OUT = "kept out, and told"
    HARMLESS = "shown without effect"
    REPORTED = "done, and told"


@frozen(kw_only=True)
class Attack:
    """One row. ``kind`` is the number of the finding that it belongs to, or empty."""

    kind: str
    adversary: Adversary
    what: str
    outcome: Outcome
    test: str


ATTACKS: list[Attack] = []


def attack(adversary: Adversary, what: str, outcome: Outcome, *, kind: str = "") -> Callable[[F], F]:
    """Declare the decorated test to be an attack; ``what``: one line, as the table shows it."""

    def declare(test: F) -> F:
        ATTACKS.append(
            Attack(
                kind=kind,
                adversary=adversary,
                what=what,
                outcome=outcome,
                test=f"{test.__module__.rpartition('.')[2]}::{test.__name__}",
            )
        )
        return test

    return declare
