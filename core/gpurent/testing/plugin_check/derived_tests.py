"""Contract tests that need nothing from the plugin but its entry, as source for pytest."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from gpurent.roles.entries import LeaseEntry, PluginEntry, RateEntry, SimulatorEntry
from gpurent.testing.fakes import FakePluginContext
from gpurent.testing.plugin_check.contract_classes import ContractClass
from gpurent.testing.plugin_check.role_rules import make_settings
from gpurent.testing.sandbox_harness import installed_plugins

_HEAD = """\
import pytest
from {module} import {class_name}
from gpurent.testing.plugin_check.derived_tests import build_entry


"""
_SESSION = """\
class TestDerived({class_name}):
    backend_type = staticmethod(lambda: build_entry("session", {name!r}))
    program = {program!r}
    detach_keys = {keys!r}
"""
_TRANSFER = """\
class TestDerived({class_name}):
    def make_backend(self):
        return build_entry("transfer", {name!r})
"""
_LAUNCHER = """\
class TestDerived({class_name}):
    @pytest.fixture
    def launcher(self):
        return build_entry("launcher", {name!r})
"""
_NOTIFIER = """\
class TestDerived({class_name}):
    @pytest.fixture
    def make_notifier(self):
        return lambda url: build_entry("notifier", {name!r}, url=url)
"""
_RATE = """\
from {module} import RateSourceUnderTest


class TestDerived({class_name}):
    @pytest.fixture
    def rate_source(self):
        return RateSourceUnderTest(name={name!r})
"""
_PROVIDER = """\
from gpurent.testing.contracts.provider.setup import ProviderSetup


class TestDerived({class_name}):
    @pytest.fixture
    def provider_setup(self):
        return ProviderSetup(name={name!r})
"""


def build_entry(kind: str, name: str, **settings: str) -> Any:
    """Build an entry of an installed plugin with a context of its own."""
    from gpurent.infra.registry.registry import ENTRY_KINDS

    entry: Any = installed_plugins().get_entry(ENTRY_KINDS[kind], name)
    return entry.build(FakePluginContext(entry, settings={**make_settings(entry), **settings}))


def derive_test(kind: str, entry: Any, contract: ContractClass) -> str:
    """Return the source of the contract's test for an entry; empty if the plugin itself has to say more."""
    find_values = _VALUES.get(kind)
    values = find_values(entry) if find_values is not None else None
    if values is None:
        return ""
    words = {"module": contract.module, "class_name": contract.class_name, "name": entry.name, **values}
    return (_HEAD + _TEMPLATES[kind]).format(**words)


def _find_session_values(entry: PluginEntry[Any]) -> dict[str, object] | None:
    backend = build_entry("session", entry.name)
    program = re.search(r"command -v ['\"]?([\w.-]+)", backend.probe_command())
    keys = _parse_keys(backend.detach_hint())
    return {"program": program[1], "keys": keys} if program and keys else None


def _parse_keys(hint: str) -> bytes:
    """``Ctrl+b d`` is ``b"\\x02d"``; empty for words that are not understood."""
    found = b""
    for word in hint.split():
        control = re.fullmatch(r"(?:Ctrl|C)[+-]([a-z\\])", word, re.IGNORECASE)
        if not control and len(word) != 1:
            return b""
        found += bytes([ord(control[1].upper()) - 64]) if control else word.encode()
    return found


def _find_notifier_values(entry: PluginEntry[Any]) -> dict[str, object] | None:
    return {} if "url" in {declared.name for declared in entry.settings} else None


def _find_simulated_values(entry: PluginEntry[Any]) -> dict[str, object] | None:
    simulators = installed_plugins().get_entries(SimulatorEntry)
    names = {entry.name, entry.billing} if isinstance(entry, LeaseEntry) else {entry.name}
    return {} if isinstance(entry, LeaseEntry | RateEntry) and names & set(simulators) else None


_TEMPLATES: Mapping[str, str] = {
    "session": _SESSION,
    "transfer": _TRANSFER,
    "launcher": _LAUNCHER,
    "notifier": _NOTIFIER,
    "rate": _RATE,
    "lease": _PROVIDER,
}
_VALUES: Mapping[str, Callable[[Any], dict[str, object] | None]] = {
    "session": _find_session_values,
    "transfer": lambda _entry: {},
    "launcher": lambda _entry: {},
    "notifier": _find_notifier_values,
    "rate": _find_simulated_values,
    "lease": _find_simulated_values,
}
