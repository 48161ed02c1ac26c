"""Cells that fail today, each with its reason; one that starts to pass fails its test, and is to be removed here."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen


@frozen
class KnownFailure:
    """``reason``: what goes wrong, and where, in one line; ``sometimes``: not always, so that a pass says nothing."""

    machine: str
    acts: tuple[str, ...]
    reason: str
    sometimes: bool = False


KNOWN_FAILURES: tuple[KnownFailure, ...] = ()


def index_failures(
    failures: tuple[KnownFailure, ...] = KNOWN_FAILURES,
) -> Mapping[tuple[str, str], KnownFailure]:
    """Return them by their cells."""
    return {(known.machine, act): known for known in failures for act in known.acts}
