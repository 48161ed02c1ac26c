"""Whether the entries of a plugin build what they say, and what they name is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from gpurent.errors import GpurentError, UsageError
from gpurent.infra.registry.registry import ENTRY_KINDS, EntryPointRegistry
from gpurent.locale import _
from gpurent.roles.account import Authenticator, BillingProvider
from gpurent.roles.entries import (
    CommandEntry,
    InputField,
    LeaseEntry,
    PluginEntry,
    SimulatorEntry,
    get_kind_title,
)
from gpurent.roles.exporter import Exporter, SupportsOpen
from gpurent.roles.lease import LeaseProvider
from gpurent.roles.machine import Launcher, SessionBackend, TransferBackend
from gpurent.roles.messages import Mailbox, Notifier
from gpurent.roles.rates import RateSource
from gpurent.roles.simulator import Evidence, Observation, ProviderSimulator, SimulatorRoute
from gpurent.testing.fakes import FakePluginContext
from gpurent.testing.plugin_check.idle_simulator import make_simulator
from gpurent.testing.plugin_check.replay.observation_files import find_observation_faults
from gpurent.testing.plugin_check.report import RuleFinding, judge

ROLES: Mapping[str, type[object]] = {
    "auth": Authenticator,
    "billing": BillingProvider,
    "lease": LeaseProvider,
    "transfer": TransferBackend,
    "session": SessionBackend,
    "mailbox": Mailbox,
    "notifier": Notifier,
    "rate": RateSource,
    "launcher": Launcher,
    "exporter": Exporter,
    "simulator": ProviderSimulator,
}
# What users compare providers by.
OVERVIEW = (
    *("machines", "difficulty", "price", "upload"),
    *("cpu_only", "compatibility", "invoice", "withdrawal"),
)
# A value for a setting that has no default, so that a role can be built at all.
_EXAMPLES = {"url": "https://service.example", "host": "service.example", "port": "993"}


def iter_entries(registry: EntryPointRegistry, names: Sequence[tuple[str, str]]) -> Iterator[tuple[str, Any]]:
    """Yield the kind and the entry of each name."""
    for kind, name in names:
        found = registry.get_entries(ENTRY_KINDS[kind]).get(name)
        if found is not None:
            yield kind, found


def make_settings(entry: Any) -> dict[str, str]:
    """Return a value for each setting that has neither a default nor may be left out."""
    made = {}
    for declared in getattr(entry, "settings", ()):
        if declared.default or declared.optional:
            continue
        text = declared.example or _EXAMPLES.get(declared.name, "example")
        try:
            declared.check(text)
        except ValueError:
            text = _EXAMPLES["url"]
        made[declared.name] = text
    return made


def check_builds(registry: EntryPointRegistry, names: Sequence[tuple[str, str]]) -> RuleFinding:
    """Build each entry with a context of its own, and look whether it is of its role."""
    faults = []
    for kind, entry in iter_entries(registry, names):
        title = f"{get_kind_title(type(entry))} {entry.name}"
        try:
            made = _build(entry)
        except ImportError as error:
            name = error.name or f"{error}"
            faults.append(f"{title}: " + _("{module} is not installed").format(module=name))
            continue
        except UsageError as error:
            if not make_settings(entry):  # else it may be our examples that are not allowed
                faults.append(f"{title}: {error.message}")
            continue
        except Exception as error:  # noqa: BLE001 - a plugin may fail in any way
            text = error.message if isinstance(error, GpurentError) else f"{type(error).__name__}: {error}"
            faults.append(f"{title}: {text}")
            continue
        role = ROLES.get(kind)
        if role is not None and not isinstance(made, role):
            what = _("builds {type} instead of {wanted}")
            faults.append(f"{title}: " + what.format(type=type(made).__name__, wanted=role.__name__))
        if getattr(entry, "can_open", False) and not isinstance(made, SupportsOpen):
            faults.append(
                f"{title}: " + _("can_open is set, but {name} is lacking").format(name="SupportsOpen")
            )
    return judge("builds", faults)


def _build(entry: Any) -> object:
    match entry:
        case CommandEntry():
            return entry.build()
        case SimulatorEntry():
            return make_simulator(entry)
        case _:
            return entry.build(FakePluginContext(entry, settings=make_settings(entry)))


def check_references(
    registry: EntryPointRegistry, every: EntryPointRegistry, names: Sequence[tuple[str, str]]
) -> RuleFinding:
    """Check what the entries name: ``every`` has the entries of all installed plugins."""
    faults = []
    for _kind, entry in iter_entries(registry, names):
        title = f"{get_kind_title(type(entry))} {entry.name}"
        faults += [f"{title}: {fault}" for fault in _iter_reference_faults(entry, every)]
    return judge("references", faults)


def _iter_reference_faults(entry: object, every: EntryPointRegistry) -> Iterator[str]:
    if isinstance(entry, LeaseEntry):
        yield from _iter_provider_faults(entry, every)
    if isinstance(entry, PluginEntry):
        yield from _iter_setting_faults(entry.settings)
    if isinstance(entry, SimulatorEntry) and not _is_simulated(entry.name, every):
        yield _("no provider, account or rate source has the simulator's name")


def _iter_provider_faults(entry: LeaseEntry, every: EntryPointRegistry) -> Iterator[str]:
    for word, name in (("auth", entry.auth), ("billing", entry.billing)):
        if name and name not in every.list_names(word):
            yield _("it names the {kind} {name}, which is not installed").format(
                kind=every.get_kind_title(word), name=name
            )
    for key in sorted(set(entry.overview) - set(OVERVIEW)):
        yield _("the overview has no column {name}").format(name=key)
    for host in entry.web_hosts:
        if "/" in host or not urlsplit(f"https://{host}/").hostname:
            yield _("{name} is not a host").format(name=host)


def _iter_setting_faults(settings: Sequence[InputField]) -> Iterator[str]:
    names = Counter(declared.name for declared in settings)
    for name in sorted(name for name, count in names.items() if count > 1):
        yield _("the setting {name} is there twice").format(name=name)
    for declared in settings:
        if declared.default and (why := _find_default_fault(declared)):
            yield _("the default of {name} is refused: {why}").format(name=declared.name, why=why)


def _find_default_fault(declared: InputField) -> str:
    try:
        declared.check(declared.default)
    except ValueError as error:
        return f"{error}" or type(error).__name__
    return ""


def _is_simulated(name: str, every: EntryPointRegistry) -> bool:
    return any(
        name in every.list_names(word) for word in ("lease", "billing", "auth", "rate", "mailbox", "notifier")
    )


def check_routes(
    registry: EntryPointRegistry, names: Sequence[tuple[str, str]]
) -> tuple[list[RuleFinding], dict[str, int], list[dict[str, str]]]:
    """Return what is to say about the simulators' routes, how many there are of each evidence, and those observed."""
    faults, assumed, observed = [], [], []
    tally = Counter[str]()
    for _kind, entry in iter_entries(registry, names):
        if not isinstance(entry, SimulatorEntry):
            continue
        try:
            simulator = make_simulator(entry)
            marked = {(route.method, route.path): route.evidence for route in simulator.list_routes()}
            served = _list_served(simulator.get_app())
            unproven = find_observation_faults(entry, simulator.list_routes())
        except Exception:  # noqa: BLE001, S112 - "builds" says why
            continue
        tally.update(evidence.value for evidence in marked.values())
        name = entry.name
        faults += [f"{name}: {fault}" for fault in unproven]
        observed += [
            _describe_observation(route, route.observation)
            for route in simulator.list_routes()
            if route.observation is not None
        ]
        faults += [f"{name}: {m} {p}: " + _("no evidence") for m, p in sorted(served - set(marked))]
        faults += [f"{name}: {m} {p}: " + _("not served") for m, p in sorted(set(marked) - served) if served]
        # What only a sandbox has, such as a faucet, is no claim about the service.
        claims = {(m, p): found for (m, p), found in marked.items() if not p.startswith("/sandbox/")}
        assumed += [f"{name}: {m} {p}" for (m, p), found in claims.items() if found is Evidence.ASSUMED]
    counted = {evidence.value: tally[evidence.value] for evidence in Evidence} if tally else {}
    notes = [f"{name} {count}" for name, count in counted.items() if count]
    return [judge("routes", faults, notes), judge("evidence", assumed)], counted, observed


def _describe_observation(route: SimulatorRoute, seen: Observation) -> dict[str, str]:
    date = seen.recorded_on.isoformat()
    return {"method": route.method, "path": route.path, "date": date, "version": seen.version}


def _list_served(app: Any) -> set[tuple[str, str]]:
    """Return method and path of each route, as far as the application lists them."""
    return {
        (method, route.path)
        for route in getattr(app, "routes", ())
        for method in getattr(route, "methods", None) or ()
        if method != "HEAD"
    }
