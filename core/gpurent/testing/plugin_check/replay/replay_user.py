"""A user whose services are recordings: every client of a plugin ends at this computer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from attrs import define, field

from gpurent.domain.secret import Secret
from gpurent.infra.http import HttpClient
from gpurent.infra.registry.registry import EntryPointRegistry
from gpurent.roles.account import Login, SupportsEnrolment
from gpurent.roles.entries import AuthEntry, SimulatorEntry
from gpurent.testing.plugin_check.idle_simulator import make_simulator
from gpurent.testing.sandbox_harness import SandboxUser

CODE = "123456"
MAX_CODES = 50
STAND_IN = "replayed"


@define(kw_only=True)
class ReplayUser(SandboxUser):
    """``urls``: where each recorded service is served; ``closed_url``: where nobody answers; ``names``: of entries."""

    urls: Mapping[tuple[str, str], str]
    closed_url: str
    names: Sequence[str]
    answers: list[str] = field(factory=lambda: [CODE] * MAX_CODES)

    def __attrs_post_init__(self) -> None:
        for name in self.names:
            self._point_to_service(name)

    def client(self, plugin: str, base_url: str) -> HttpClient:
        known = base_url in self.urls.values()
        return SandboxUser.client(self, plugin, base_url if known else self.closed_url)

    def _point_to_service(self, name: str) -> None:
        """Set the settings of the entry so that its plugin asks the recorded services."""
        url = self.urls.get((name, "url"), self.closed_url)
        values: dict[str, str] = {"url": url, **_find_simulator_settings(self.registry, name, url)}
        values |= {setting: found for (owner, setting), found in self.urls.items() if owner == name}
        self.config[name] = values

    async def make_login_fields(self, entry: AuthEntry, role: Any) -> Mapping[str, Secret]:
        """Return what a login needs: a key that the plugin makes, or a stand-in for each field."""
        if isinstance(role, SupportsEnrolment):
            return await role.create_credentials()
        return {declared.name: Secret(STAND_IN) for declared in entry.fields}

    def set_stand_in_login(self, name: str) -> None:
        self.logins.setdefault(name, Login(account=STAND_IN, token=Secret(f"{STAND_IN}-token")))


def _find_simulator_settings(registry: EntryPointRegistry, name: str, url: str) -> Mapping[str, str]:
    """Return the settings with which the plugin uses its simulator: they let it do what it would do live."""
    found = registry.get_entries(SimulatorEntry).get(name)
    if found is None:
        return {}
    with suppress(Exception):  # one that cannot be built has no settings to give
        return make_simulator(found).make_plugin_settings(url)
    return {}
