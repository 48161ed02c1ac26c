"""The one place that holds a plugin manager. Every entry point and every hook runs in its own ``try``."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import pluggy

from gpurent.errors import PluginError
from gpurent.infra.registry.installed import Plugin, Problem, installed, owners_of
from gpurent.roles import hookspecs
from gpurent.roles.entries import (
    NAME,
    AuthEntry,
    BillingEntry,
    CommandEntry,
    ExporterEntry,
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

PREFIX = "gpurent_register_"
AnyEntry = (
    AuthEntry
    | BillingEntry
    | CommandEntry
    | ExporterEntry
    | LauncherEntry
    | LeaseEntry
    | MailboxEntry
    | NotifierEntry
    | SimulatorEntry
    | SessionEntry
    | TransferEntry
)
KINDS: Mapping[str, type[Any]] = {
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


def _reason(error: BaseException) -> str:
    kind = type(error).__name__
    try:
        text = " ".join(str(error).split())[:300]
    except Exception:  # noqa: BLE001 - even an error's own text may fail
        text = ""
    return f"{kind}: {text}" if text else kind


def _what(error: BaseException) -> str:
    """Our own refusals speak for themselves; a plugin's error keeps its class."""
    return error.message if isinstance(error, PluginError) else _reason(error)


def _package(name: str) -> str:
    """The distribution that by convention brings ``name``: digits in front go last, as no module starts with one."""
    return "gpurent-plugin-" + re.sub(r"^(\d+)-?(.+)$", r"\2\1", name)


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
        for point in installed() if points is None else points:
            registry._admit(Plugin(name=point.name, point=point), point.load)
        return registry

    def _admit(self, plugin: Plugin, load: Callable[[], object]) -> None:
        def broken(what: str) -> None:
            self._report(plugin, what)

        doing = "cannot be imported"
        try:
            # What a plugin prints must not stand in the one document that `--json` promises.
            with redirect_stdout(sys.stderr):
                module = load()
                doing = "cannot be looked at"
                self._look(plugin, module, broken)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a plugin may fail in any way, sys.exit() too
            broken(f"{doing}: {_reason(error)}")

    def _report(self, plugin: Plugin, what: str) -> None:
        self.problems.append(Problem(plugin=plugin.name, distribution=plugin.distribution, what=what))

    def _look(self, plugin: Plugin, module: object, broken: Callable[[str], None]) -> None:
        hooks = [name for name in dir(module) if name.startswith(PREFIX)]
        unknown = [hook for hook in hooks if not hasattr(hookspecs, hook)]
        unmarked = [hook for hook in hooks if not hasattr(getattr(module, hook), "gpurent_impl")]
        if unknown:
            broken(f"implements hooks that gpurent does not have: {', '.join(unknown)}")
        if unmarked:
            broken(f"forgot @hookimpl on: {', '.join(unmarked)}")
        if not unknown and not self._fits(module, plugin, broken):
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
                broken(f"{hook} failed: {_what(error)}")
        self.plugins.append(plugin)

    def _fits(self, module: object, plugin: Plugin, broken: Callable[[str], None]) -> bool:
        """Let pluggy judge the arguments of every hook."""
        name = f"{plugin.name} {id(plugin)}"  # entry points of two distributions may be called alike
        try:
            self._manager.register(module, name=name)
            self._manager.check_pending()
        except Exception as error:  # noqa: BLE001 - pluggy's own errors share no base
            if self._manager.get_name(module) == name:
                self._manager.unregister(module)
            broken(f"does not fit the hooks: {_reason(error)}")
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
            self._claim(plugin, kind, cast("AnyEntry", entry))

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

    def _all(self, kind: str) -> Mapping[str, Any]:
        return self._entries[kind]

    @property
    def auth(self) -> Mapping[str, AuthEntry]:
        return self._all("auth")

    @property
    def billing(self) -> Mapping[str, BillingEntry]:
        return self._all("billing")

    @property
    def lease(self) -> Mapping[str, LeaseEntry]:
        return self._all("lease")

    @property
    def transfer(self) -> Mapping[str, TransferEntry]:
        return self._all("transfer")

    @property
    def session(self) -> Mapping[str, SessionEntry]:
        return self._all("session")

    @property
    def mailbox(self) -> Mapping[str, MailboxEntry]:
        return self._all("mailbox")

    @property
    def notifier(self) -> Mapping[str, NotifierEntry]:
        return self._all("notifier")

    @property
    def launcher(self) -> Mapping[str, LauncherEntry]:
        return self._all("launcher")

    @property
    def exporter(self) -> Mapping[str, ExporterEntry]:
        return self._all("exporter")

    @property
    def command(self) -> Mapping[str, CommandEntry]:
        return self._all("command")

    @property
    def simulator(self) -> Mapping[str, SimulatorEntry]:
        return self._all("simulator")

    def get(self, kind: str, name: str) -> Any:
        """The entry ``name`` of ``kind``; a `PluginError` says who clashes, what is near, or what to install."""
        found = self._entries[kind].get(name)
        if found is not None:
            return found
        if (kind, name) in self._clashes:
            owners = owners_of(self._clashes[kind, name])
            raise PluginError(f"{kind} {name!r} is claimed by {owners}", hint="Uninstall one of them.")
        known = ", ".join(sorted(self._entries[kind])) or "none"
        raise PluginError(f"no {kind} is called {name!r} (installed: {known})", hint=self._advice(kind, name))

    def _advice(self, kind: str, name: str) -> str:
        """What to do about a missing name: mend what is broken, mind the nearest name, or install."""
        package = _package(name)
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
