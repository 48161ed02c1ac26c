"""The only user of pluggy's plugin manager. Each entry point and each hook runs in its own ``try``."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from copy import copy
from types import ModuleType
from typing import TYPE_CHECKING, cast

import pluggy

from gpurent.domain.provider_names import (
    ACCOUNT_MARK,
    ENTRY_NAME_PATTERN,
    get_account_label,
    get_base_name,
    is_account_name,
)
from gpurent.errors import PluginError
from gpurent.infra.registry.account_entries import ACCOUNT_KINDS, AccountEntries, derive_entry
from gpurent.infra.registry.loaded import ENTRY_POINT_GROUP, LoadedPlugin, PluginProblem, format_owners
from gpurent.infra.registry.origins import PluginOrigin
from gpurent.infra.registry.required_api import DECLARATION, find_api_problem, read_declaration
from gpurent.locale import N_, _, join_list
from gpurent.roles import hookspecs
from gpurent.roles.entries import (
    AnyEntry,
    AuthEntry,
    BillingEntry,
    CommandEntry,
    EntryT,
    ExporterEntry,
    InputField,
    LauncherEntry,
    LeaseEntry,
    MailboxEntry,
    NotifierEntry,
    PluginEntry,
    RateEntry,
    SessionEntry,
    SimulatorEntry,
    TransferEntry,
    get_kind_title,
)

if TYPE_CHECKING:
    from importlib_metadata import EntryPoint


HOOK_PREFIX = "gpurent_register_"
ENTRY_KINDS: Mapping[str, type[AnyEntry]] = {
    "auth": AuthEntry,
    "billing": BillingEntry,
    "lease": LeaseEntry,
    "transfer": TransferEntry,
    "session": SessionEntry,
    "mailbox": MailboxEntry,
    "notifier": NotifierEntry,
    "rate": RateEntry,
    "launcher": LauncherEntry,
    "exporter": ExporterEntry,
    "command": CommandEntry,
    "simulator": SimulatorEntry,
}
_KIND_NAMES: Mapping[type[object], str] = {kind: word for word, kind in ENTRY_KINDS.items()}


def _format_error(error: BaseException) -> str:
    kind = type(error).__name__
    try:
        text = " ".join(str(error).split())[:300]
    except Exception:  # noqa: BLE001 - even an error's own text may fail
        text = ""
    return f"{kind}: {text}" if text else kind


class EntryPointRegistry:
    """All entries of all plugins by kind and name, and those of the user's further accounts."""

    def __init__(self) -> None:
        self.plugins: list[LoadedPlugin] = []
        self.problems: list[PluginProblem] = []
        self.left_out: list[LoadedPlugin] = []
        self._entries: dict[str, dict[str, AnyEntry]] = {kind: {} for kind in ENTRY_KINDS}
        self._owners: dict[tuple[str, str], LoadedPlugin] = {}
        self._broken: list[LoadedPlugin] = []
        self._clashes: dict[tuple[str, str], tuple[LoadedPlugin, ...]] = {}
        self._manager = pluggy.PluginManager("gpurent")
        self._manager.add_hookspecs(hookspecs)
        self._accounts = AccountEntries(frozenset())

    @classmethod
    def load(
        cls,
        builtin: Iterable[ModuleType] = (),
        points: Iterable[EntryPoint] | None = None,
        is_wanted: Callable[[EntryPoint], bool] = lambda _point: True,
    ) -> EntryPointRegistry:
        """Load ``builtin`` modules, then all installed plugins (or only ``points``). A faulty plugin never raises.

        What is not wanted is not even imported.
        """
        registry = cls()
        for module in builtin:
            registry._load_plugin(
                LoadedPlugin(name=module.__name__, entry_point=None),
                lambda module=module: module,  # type: ignore[misc]
            )
        if points is None:
            from importlib_metadata import entry_points

            points = entry_points(group=ENTRY_POINT_GROUP)
        for point in points:
            plugin = LoadedPlugin(name=point.name, entry_point=point)
            if is_wanted(point):
                registry._load_plugin(plugin, point.load)
            else:
                registry.left_out.append(plugin)
        return registry

    def _load_plugin(self, plugin: LoadedPlugin, load: Callable[[], object]) -> None:
        failed = N_("cannot be imported: {error}")
        try:
            # What a plugin prints must not end up in the JSON document of `--json`.
            with redirect_stdout(sys.stderr):
                module = load()
                failed = N_("cannot be loaded: {error}")
                if self._is_for_this_api(plugin, getattr(module, DECLARATION, None)):
                    self._add_plugin(plugin, module)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a plugin may fail in any way, sys.exit() too
            point = plugin.entry_point
            if point is None or self._is_for_this_api(plugin, read_declaration(point)):
                self._add_problem(plugin, _(failed).format(error=_format_error(error)))

    def _is_for_this_api(self, plugin: LoadedPlugin, required: object) -> bool:
        """Return whether a plugin works with this version of the API, as far as it says; else it is a problem."""
        if required is None:
            return True
        if problem := find_api_problem(required, plugin.distribution):
            self._add_problem(plugin, problem)
        return not problem

    def _add_problem(self, plugin: LoadedPlugin, what: str) -> None:
        self._broken.append(plugin)
        self.problems.append(PluginProblem(plugin=plugin.name, distribution=plugin.distribution, what=what))

    def _add_plugin(self, plugin: LoadedPlugin, module: object) -> None:
        hooks = [name for name in dir(module) if name.startswith(HOOK_PREFIX)]
        unknown = [hook for hook in hooks if not hasattr(hookspecs, hook)]
        unmarked = [hook for hook in hooks if not hasattr(getattr(module, hook), "gpurent_impl")]
        if unknown:
            what = _("implements hooks that gpurent does not have: {hooks}").format(hooks=join_list(unknown))
            self._add_problem(plugin, what)
        if unmarked:
            what = _("lacks @hookimpl on: {hooks}").format(hooks=join_list(unmarked))
            self._add_problem(plugin, what)
        if not unknown and not self._validate_hooks(module, plugin):
            return
        for kind in ENTRY_KINDS:
            hook = HOOK_PREFIX + kind
            if hook not in hooks or hook in unmarked:
                continue
            try:
                self._add_entries(plugin, kind, getattr(module, hook))
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - likewise
                # Our own errors need only their message; for a plugin's error, show its class as well.
                why = error.message if isinstance(error, PluginError) else _format_error(error)
                self._add_problem(plugin, _("{hook} failed: {why}").format(hook=hook, why=why))
        self.plugins.append(plugin)

    def _validate_hooks(self, module: object, plugin: LoadedPlugin) -> bool:
        """Let pluggy check the arguments of every hook."""
        name = f"{plugin.name} {id(plugin)}"  # entry points of two distributions may have the same name
        try:
            self._manager.register(module, name=name)
            self._manager.check_pending()
        except Exception as error:  # noqa: BLE001 - pluggy's own errors share no base
            if self._manager.get_name(module) == name:
                self._manager.unregister(module)
            what = _("does not match the hook specifications: {error}").format(error=_format_error(error))
            self._add_problem(plugin, what)
            return False
        return True

    def _add_entries(self, plugin: LoadedPlugin, kind: str, hook: Callable[[], object]) -> None:
        """Add all entries of one hook, or none of them."""
        if inspect.iscoroutinefunction(hook):
            raise PluginError(_("a hook must be a plain function, not `async def`"))
        given = hook()
        if inspect.iscoroutine(given):
            given.close()
            raise PluginError(_("a hook must be a plain function, not `async def`"))
        if not isinstance(given, list | tuple):
            raise PluginError(
                _("a hook must return a list of entries, not {type}").format(type=type(given).__name__)
            )
        for entry in given:
            if not isinstance(entry, ENTRY_KINDS[kind]):
                raise PluginError(
                    _("a hook must return {wanted} objects, not {type}").format(
                        wanted=ENTRY_KINDS[kind].__name__, type=type(entry).__name__
                    )
                )
            if isinstance(entry, PluginEntry) and ACCOUNT_MARK in entry.name:
                text = _("{name!r} is the name of an account, which no plugin provides")
                raise PluginError(text.format(name=entry.name))
        for entry in given:
            self._add_entry(plugin, kind, entry)

    def _add_entry(self, plugin: LoadedPlugin, kind: str, entry: AnyEntry) -> None:
        key = (kind, entry.name)
        plugin.entries.append(key)
        if key in self._owners:
            owners = (*self._clashes.get(key, (self._owners[key],)), plugin)
            self._clashes[key] = owners
            # Core keeps its own names; a name claimed by two plugins belongs to neither.
            if self._owners[key].entry_point is not None:
                self._entries[kind].pop(entry.name, None)
            what = _("{kind} {name!r} is provided by both {owners}; uninstall one of them").format(
                kind=get_kind_title(type(entry)), name=entry.name, owners=format_owners(owners)
            )
            self._add_problem(plugin, what)
            return
        self._owners[key] = plugin
        self._entries[kind][entry.name] = entry

    def get_entries(self, kind: type[EntryT]) -> Mapping[str, EntryT]:
        found = cast("Mapping[str, EntryT]", self._entries[_KIND_NAMES[kind]])
        if not self._accounts.logins or kind not in ACCOUNT_KINDS:
            return found
        providers = cast("Mapping[str, LeaseEntry]", self._entries["lease"]).values()
        derived = self._accounts.derive_known(kind, found, providers)
        return {**found, **{entry.name: cast("EntryT", entry) for entry in derived}}

    def with_accounts(self, logins: Iterable[str]) -> EntryPointRegistry:
        """Return a registry of the same entries that lists these accounts too; see `set_accounts`."""
        made = copy(self)
        made.set_accounts(logins)
        return made

    def set_accounts(self, logins: Iterable[str]) -> None:
        """List the entries of the accounts with these logins (``vast@lab``), in place of those listed before."""
        self._accounts = AccountEntries(frozenset(logins))

    def find_entry(self, kind: type[EntryT], name: str) -> EntryT | None:
        found: AnyEntry | None = self._entries[_KIND_NAMES[kind]].get(get_base_name(name))
        if isinstance(found, PluginEntry) and kind in ACCOUNT_KINDS and is_account_name(name):
            found = derive_entry(found, get_account_label(name))
        return cast("EntryT", found) if found is not None and found.name == name else None

    def get_entry(self, kind: type[EntryT], name: str) -> EntryT:
        word = _KIND_NAMES[kind]
        found = self.find_entry(kind, name)
        if found is not None:
            return found
        if kind in ACCOUNT_KINDS and ACCOUNT_MARK in name:
            self.get_entry(kind, get_base_name(name))  # raises what the provider itself lacks
            raise PluginError(
                _("{label!r} cannot name an account").format(label=get_account_label(name)),
                hint=_("Use lower-case letters, digits and single hyphens, e.g. lab or lab-2."),
            )
        if (word, name) in self._clashes:
            owners = format_owners(self._clashes[word, name])
            raise PluginError(
                _("{kind} {name!r} is provided by both {owners}").format(
                    kind=get_kind_title(kind), name=name, owners=owners
                ),
                hint=_("Uninstall one of them."),
            )
        known = join_list(self.list_names(word)) or _("none")
        raise PluginError(
            _("no such {kind}: {name!r} (installed: {known})").format(
                kind=get_kind_title(kind), name=name, known=known
            ),
            hint=self._suggest_remedy(word, name),
        )

    def settings_of(self, word: str, name: str) -> Sequence[InputField]:
        """Return the fields allowed in ``[name]`` of config.toml for that entry; commands and simulators have none."""
        found: Sequence[InputField] = getattr(self._entries[word].get(get_base_name(name)), "settings", ())
        return found

    def list_origins(self) -> list[PluginOrigin]:
        """Return where the installed plugins come from, one for each distribution, broken ones too."""
        every = [*self.plugins, *self._broken, *self.left_out]
        found = {plugin.distribution: plugin.origin for plugin in every if not plugin.is_core}
        return [found[name] for name in sorted(found)]

    def list_points(self) -> list[EntryPoint]:
        """Return the entry points of the installed plugins that were loaded, also of those that failed."""
        found = [plugin.entry_point for plugin in (*self.plugins, *self._broken)]
        return list({id(point): point for point in found if point is not None}.values())

    def iter_entries(self) -> Iterator[AnyEntry]:
        for entries in self._entries.values():
            yield from entries.values()

    def list_names(self, word: str) -> list[str]:
        """Return the names of one kind of entry; ``word`` is the kind in its hook's name: "lease", "transfer", etc."""
        return sorted(self.get_entries(ENTRY_KINDS[word]))

    def get_kind_title(self, word: str) -> str:
        """Return what such an entry provides, in the user's language; ``word`` as in `list_names`."""
        return get_kind_title(ENTRY_KINDS[word])

    def check_entry(self, word: str, name: str) -> None:
        """Raise `PluginError` if there is no such entry, like `get_entry`; ``word`` as in `list_names`."""
        self.get_entry(ENTRY_KINDS[word], name)

    def _suggest_remedy(self, kind: str, name: str) -> str:
        """Return a hint for a missing name: repair a broken plugin, use the most similar name, or install a plugin.

        No package is named that is not installed: a guessed name may be somebody else's package.
        """
        # By convention leading digits go last in the package name, because a module name cannot start with a digit.
        package = "gpurent-plugin-" + re.sub(r"^(\d+)(.+)$", r"\2\1", name.replace("-", ""))
        broken = [
            problem for problem in self.problems if problem.distribution == package or problem.plugin == name
        ]
        if broken:
            return _("{distribution} is installed but broken: {what}").format(
                distribution=broken[0].distribution, what=broken[0].what
            )
        from difflib import get_close_matches

        near = get_close_matches(name, self._entries[kind], 1)
        guess = _("Did you mean {name}?").format(name=near[0]) if near else ""
        if not re.fullmatch(ENTRY_NAME_PATTERN, name):
            return guess
        install = _("Install the plugin that provides it. See: gpurent plugin list")
        return f"{guess} {install}".strip()
