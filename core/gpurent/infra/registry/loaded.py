"""A plugin as it was loaded, or why it was not."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from gpurent.infra.registry.origins import PluginOrigin, read_origin
from gpurent.locale import _, join_list

if TYPE_CHECKING:
    from importlib_metadata import EntryPoint

ENTRY_POINT_GROUP = "gpurent"


@frozen(kw_only=True)
class PluginProblem:
    """What is wrong with a plugin. ``plugin`` is the entry point's name, ``distribution`` the package to reinstall."""

    plugin: str
    distribution: str
    what: str


@define(kw_only=True)
class LoadedPlugin:
    """A loaded entry point (None for core's own modules) and the ``(kind, name)`` of what it registered."""

    name: str
    entry_point: EntryPoint | None
    entries: list[tuple[str, str]] = field(factory=list)

    @property
    def is_core(self) -> bool:
        return self.entry_point is None

    @property
    def distribution(self) -> str:
        return self.origin.distribution

    @property
    def version(self) -> str:
        return self.origin.version

    @cached_property
    def origin(self) -> PluginOrigin:
        """Read only when it is needed: the help of the command line needs none."""
        if self.entry_point is None:
            return PluginOrigin(distribution=ENTRY_POINT_GROUP, version="", sha256="")
        return read_origin(self.entry_point)


def format_owners(owners: Iterable[LoadedPlugin]) -> str:
    """``one``, ``one and two``, ``one, two and three``."""
    *names, last = [plugin.distribution for plugin in owners]
    return _("{names} and {last}").format(names=join_list(names), last=last) if names else last
