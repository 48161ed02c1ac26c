"""The one place that holds a plugin manager. Every entry point and every hook runs in its own ``try``."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, cast

import pluggy
from attrs import define, field, frozen

from gpurent.errors import PluginError
from gpurent.roles import hookspecs
from gpurent.roles.entries import (
    NAME,
    AnyEntry,
    AuthEntry,
    BillingEntry,
    CommandEntry,
    EntryT,
    ExporterEntry,
    Field,
    LauncherEntry,
    LeaseEntry,
    MailboxEntry,
    NotifierEntry,
    SessionEntry,
    SimulatorEntry,
    TransferEntry,
)

if TYPE_CHECKING:
    from importlib_metadata import EntryPoint


GROUP = "gpurent"


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
        if self.point is None:
            return GROUP, ""
        try:
            found = self.point.dist
            return (str(found.name), str(found.version)) if found else (self.name, "")
        except Exception:  # noqa: BLE001 - metadata on disk may be damaged in any way
            return self.name, ""


def owners_of(owners: Iterable[Plugin]) -> str:
    return " and ".join(plugin.distribution for plugin in owners)


PREFIX = "gpurent_register_"
KINDS: Mapping[str, type[AnyEntry]] = {
    "auth": AuthEntry,
    "billing": BillingEntry,
    "lease": LeaseEntry,
    "transfer": TransferEntry,
    "session": SessionEntry,
    "mailbox": MailboxEntry,
    "notifier": NotifierEntry,
    "launcher": LauncherEntry,
    "exporter": ExporterEntry,
    "command": CommandEntry,
    "simulator": SimulatorEntry,
}
_WORDS: Mapping[type[object], str] = {kind: word for word, kind in KINDS.items()}


def _reason(error: BaseException) -> str:
    kind = type(error).__name__
    try:
        text = " ".join(str(error).split())[:300]
    except Exception:  # noqa: BLE001 - even an error's own text may fail
        text = ""
    return f"{kind}: {text}" if text else kind


class Registry:
    """All entries of all plugins by kind and name."""

    def __init__(self) -> None:
        self.plugins: list[Plugin] = []
        self.problems: list[Problem] = []
        self._entries: dict[str, dict[str, AnyEntry]] = {kind: {} for kind in KINDS}
        self._owners: dict[tuple[str, str], Plugin] = {}
        self._clashes: dict[tuple[str, str], tuple[Plugin, ...]] = {}
        self._manager = pluggy.PluginManager("gpurent")
        self._manager.add_hookspecs(hookspecs)

    @classmethod
    def load(cls, builtin: Iterable[ModuleType] = (), points: Iterable[EntryPoint] | None = None) -> Registry:
        """Core's own modules, then every installed plugin (or just ``points``). Never raises for a plugin's fault."""
        registry = cls()
        for module in builtin:
            registry._admit(Plugin(name=module.__name__, point=None), lambda module=module: module)  # type: ignore[misc]
        if points is None:
            from importlib_metadata import entry_points

            points = entry_points(group=GROUP)
        for point in points:
            registry._admit(Plugin(name=point.name, point=point), point.load)
        return registry

    def _admit(self, plugin: Plugin, load: Callable[[], object]) -> None:
        doing = "cannot be imported"
        try:
            # What a plugin prints must not stand in the one document that `--json` promises.
            with redirect_stdout(sys.stderr):
                module = load()
                doing = "cannot be looked at"
                self._look(plugin, module)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a plugin may fail in any way, sys.exit() too
            self._report(plugin, f"{doing}: {_reason(error)}")

    def _report(self, plugin: Plugin, what: str) -> None:
        self.problems.append(Problem(plugin=plugin.name, distribution=plugin.distribution, what=what))

    def _look(self, plugin: Plugin, module: object) -> None:
        hooks = [name for name in dir(module) if name.startswith(PREFIX)]
        unknown = [hook for hook in hooks if not hasattr(hookspecs, hook)]
        unmarked = [hook for hook in hooks if not hasattr(getattr(module, hook), "gpurent_impl")]
        if unknown:
            self._report(plugin, f"implements hooks that gpurent does not have: {', '.join(unknown)}")
        if unmarked:
            self._report(plugin, f"forgot @hookimpl on: {', '.join(unmarked)}")
        if not unknown and not self._fits(module, plugin):
            return
        for kind in KINDS:
            hook = PREFIX + kind
            if hook not in hooks or hook in unmarked:
                continue
            try:
                self._take(plugin, kind, getattr(module, hook))
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - likewise
                # Our own refusals speak for themselves; a plugin's error keeps its class.
                what = error.message if isinstance(error, PluginError) else _reason(error)
                self._report(plugin, f"{hook} failed: {what}")
        self.plugins.append(plugin)

    def _fits(self, module: object, plugin: Plugin) -> bool:
        """Let pluggy judge the arguments of every hook."""
        name = f"{plugin.name} {id(plugin)}"  # entry points of two distributions may be called alike
        try:
            self._manager.register(module, name=name)
            self._manager.check_pending()
        except Exception as error:  # noqa: BLE001 - pluggy's own errors share no base
            if self._manager.get_name(module) == name:
                self._manager.unregister(module)
            self._report(plugin, f"does not fit the hooks: {_reason(error)}")
            return False
        return True

    def _take(self, plugin: Plugin, kind: str, hook: Callable[[], object]) -> None:
        """All entries of one hook, or none of them."""
        if inspect.iscoroutinefunction(hook):
            raise PluginError("a hook must be a plain function, not `async def`")
        given = hook()
        if inspect.iscoroutine(given):
            given.close()
            raise PluginError("a hook must be a plain function, not `async def`")
        if not isinstance(given, list | tuple):
            raise PluginError(f"a hook returns a list of entries, not {type(given).__name__}")
        for entry in given:
            if not isinstance(entry, KINDS[kind]):
                raise PluginError(f"it gave a {type(entry).__name__} where {KINDS[kind].__name__} belongs")
        for entry in given:
            self._claim(plugin, kind, entry)

    def _claim(self, plugin: Plugin, kind: str, entry: AnyEntry) -> None:
        key = (kind, entry.name)
        plugin.entries.append(key)
        if key in self._owners:
            owners = (*self._clashes.get(key, (self._owners[key],)), plugin)
            self._clashes[key] = owners
            # Core keeps its own names; between others nobody wins.
            if self._owners[key].point is not None:
                self._entries[kind].pop(entry.name, None)
            what = f"{kind} {entry.name!r} is claimed by {owners_of(owners)}; uninstall one of them"
            self._report(plugin, what)
            return
        self._owners[key] = plugin
        self._entries[kind][entry.name] = entry

    def entries(self, kind: type[EntryT]) -> Mapping[str, EntryT]:
        return cast("Mapping[str, EntryT]", self._entries[_WORDS[kind]])

    def entry(self, kind: type[EntryT], name: str) -> EntryT:
        word = _WORDS[kind]
        found = self.entries(kind).get(name)
        if found is not None:
            return found
        if (word, name) in self._clashes:
            owners = owners_of(self._clashes[word, name])
            raise PluginError(f"{word} {name!r} is claimed by {owners}", hint="Uninstall one of them.")
        known = ", ".join(sorted(self._entries[word])) or "none"
        raise PluginError(f"no {word} is called {name!r} (installed: {known})", hint=self._advice(word, name))

    def settings_of(self, word: str, name: str) -> Sequence[Field]:
        """What ``[name]`` of config.toml may hold for that entry; commands and simulators have none."""
        found: Sequence[Field] = getattr(self._entries[word].get(name), "settings", ())
        return found

    def all_entries(self) -> Iterator[AnyEntry]:
        for entries in self._entries.values():
            yield from entries.values()

    def names(self, word: str) -> list[str]:
        """The names of one kind of entry, by its hook's word: lease, transfer, …"""
        return sorted(self._entries[word])

    def check(self, word: str, name: str) -> None:
        """As `entry`, for a kind by its hook's word."""
        self.entry(KINDS[word], name)

    def _advice(self, kind: str, name: str) -> str:
        """What to do about a missing name: mend what is broken, mind the nearest name, or install."""
        # By convention digits in front go last, as no module starts with one.
        package = "gpurent-plugin-" + re.sub(r"^(\d+)-?(.+)$", r"\2\1", name)
        broken = [
            problem for problem in self.problems if problem.distribution == package or problem.plugin == name
        ]
        if broken:
            return f"{broken[0].distribution} is installed, but broken: {broken[0].what}"
        from difflib import get_close_matches

        near = get_close_matches(name, self._entries[kind], 1)
        guess = f"Did you mean {near[0]!r}? " if near else ""
        other = "Otherwise" if near else "Perhaps"
        if not re.fullmatch(NAME, name):
            return guess.strip()
        return f"{guess}{other}: pip install {package}"
