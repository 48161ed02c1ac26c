"""The plugins that are installed: who brings them, what each registered, what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from attrs import define, field, frozen

if TYPE_CHECKING:
    from importlib_metadata import EntryPoint

GROUP = "gpurent"


def installed() -> Iterable[EntryPoint]:
    from importlib_metadata import entry_points

    return entry_points(group=GROUP)


@frozen(kw_only=True)
class Problem:
    """What is wrong with a plugin, in words. ``plugin`` is the entry point, ``distribution`` what to reinstall."""

    plugin: str
    distribution: str
    what: str


@define(kw_only=True)
class Plugin:
    """One loaded entry point (None: core's own module) and what it registered, as ``(kind, name)``."""

    name: str
    point: EntryPoint | None
    entries: list[tuple[str, str]] = field(factory=list)

    @property
    def distribution(self) -> str:
        return self._origin[0]

    @property
    def version(self) -> str:
        return self._origin[1]

    @cached_property
    def _origin(self) -> tuple[str, str]:
        """Distribution and version. Read when they are told: a start of the command line tells neither."""
        return (GROUP, "") if self.point is None else _origin(self.point)


def _origin(point: EntryPoint) -> tuple[str, str]:
    """Distribution and version of an entry point; a damaged installation has neither."""
    try:
        return (str(point.dist.name), str(point.dist.version)) if point.dist else (point.name, "")
    except Exception:  # noqa: BLE001 - metadata on disk may be damaged in any way
        return point.name, ""


def owners_of(owners: Iterable[Plugin]) -> str:
    return " and ".join(plugin.distribution for plugin in owners)
