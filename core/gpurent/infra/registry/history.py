"""Which plugins this data folder has used, and which of them have changed since."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen

from gpurent.infra.registry.origins import PluginOrigin
from gpurent.locale import _
from gpurent.ports.outside_records import OutsideRecords

_NAME = "plugins"
SHOWN_DIGITS = 12


@frozen(kw_only=True)
class PluginChange:
    """A plugin whose files are other ones than before; ``before`` is None if it is new."""

    now: PluginOrigin
    before: PluginOrigin | None

    @property
    def text(self) -> str:
        name, now = self.now.distribution, _describe(self.now)
        if self.before is None:
            return _("{name} is new: {now}").format(name=name, now=now)
        return _("{name} has changed: {before}, now {now}").format(
            name=name, before=_describe(self.before), now=now
        )


def _describe(origin: PluginOrigin) -> str:
    return f"{origin.version or '?'} ({origin.sha256[:SHOWN_DIGITS] or '-'})"


@frozen
class PluginHistory:
    """Kept outside of what is installed: the origin of each plugin at its first use, and at the last command."""

    records: OutsideRecords

    def take_changes(self, plugins: Iterable[PluginOrigin]) -> Sequence[PluginChange]:
        """Return what has changed since the last command, and record it: each change is returned once.

        Nothing is new at the very first command.
        """
        now = {origin.distribution: origin for origin in plugins}
        places = self._load("last")
        if places and all(now == {name: place.get(name) for name in now} for place in places):
            return ()
        self._record(now)
        if not places:
            return ()
        changes = []
        for name, origin in now.items():
            known = [place[name] for place in places if name in place]
            other = [before for before in known if before != origin]
            if other or not known:
                changes.append(PluginChange(now=origin, before=other[0] if other else None))
        return changes

    def list_first(self) -> Mapping[str, PluginOrigin]:
        """Return the origins at the first use, by distribution."""
        return next(iter(self._load("first")), {})

    def _record(self, now: Mapping[str, PluginOrigin]) -> None:
        last = {name: [origin.version, origin.sha256] for name, origin in now.items()}

        def merge(values: Sequence[Any]) -> Any:
            # A plugin that is not installed now is remembered: it may come back changed.
            old = next((value for value in values if isinstance(value, dict)), {})
            first, before = (
                {**part} if isinstance(part := old.get(key), dict) else {} for key in ("first", "last")
            )
            return {"first": {**last, **first}, "last": {**before, **last}}

        self.records.update(_NAME, merge)

    def _load(self, key: str) -> list[dict[str, PluginOrigin]]:
        """Return the origins of each place; what is damaged counts as lost."""
        found = []
        for value in self.records.list_values(_NAME):
            part = value.get(key) if isinstance(value, dict) else None
            if isinstance(part, dict):
                found.append(
                    {
                        name: PluginOrigin(distribution=name, version=str(item[0]), sha256=str(item[1]))
                        for name, item in part.items()
                        if isinstance(item, list) and len(item) == 2
                    }
                )
        return found
