"""Contract tests for secrets: none in a log, an output, an error, or what a plugin saves."""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from urllib.parse import quote, unquote

import pytest
from attrs import define, field

from gpurent.domain.secret import Secret
from gpurent.errors import GpurentError
from gpurent.testing.contracts.provider.bad_answers import BAD_ANSWERS, ask, faulty, list_plugin_calls
from gpurent.testing.contracts.provider.base import ProviderContractBase
from gpurent.testing.contracts.provider.opened import Driver, OpenProvider

SHORTEST = 6


@define
class SecretSearch:
    """Looks for the secrets of a user in texts."""

    _opened: OpenProvider
    _driver: Driver | None = None
    texts: dict[str, str] = field(factory=dict)

    def list_secrets(self) -> set[str]:
        opened = self._opened
        declared = {one.name for one in opened.setup.auth_entry.fields if one.secret}
        credentials = opened.user.credentials[opened.setup.entry.auth]
        found = [value for name, value in credentials.items() if name in declared]
        found += [login.token for login in opened.user.logins.values()]
        found += list(opened.user.vault(opened.name).records.values())
        return {one.reveal() for one in found if len(one.reveal()) >= SHORTEST}

    def add(self, place: str, text: object) -> None:
        self.texts[place] = self.texts.get(place, "") + f"{text}\n"

    def check(self) -> None:
        for secret in self.list_secrets():
            for form in _list_forms(secret):
                for place, text in self.texts.items():
                    assert form not in text, f"a secret is in {place}"


def _list_forms(secret: str) -> set[str]:
    raw = secret.encode()
    return {secret, raw.hex(), b64encode(raw).decode().rstrip("="), quote(secret, safe="")}


class SecretContract(ProviderContractBase):
    """Contract tests for secrets over a whole lease, and in all its errors."""

    @pytest.fixture
    def logged(self, caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
        with caplog.at_level(logging.DEBUG):
            yield caplog

    async def test_no_secret_leaves_the_plugin(
        self,
        opened: OpenProvider,
        logged: pytest.LogCaptureFixture,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        driver = await opened.rent()
        search = SecretSearch(opened, driver)
        lease = driver.current_lease
        for answer in BAD_ANSWERS:
            async with faulty(opened, answer):
                queries: list[Callable[[], Awaitable[object]]] = [opened.provider.list_leases]
                for query in queries if opened.is_postpaid else [*queries, opened.billing.get_balance]:
                    found = await ask(query)
                    if isinstance(found, GpurentError):
                        search.add("an error", f"{found} {found.hint} {found.detail}")
        await opened.advance(timedelta(minutes=5))
        await driver.release_lease()
        for state in ("the lease", "the released lease"):
            search.add(state, (lease, driver.current_lease))
        search.add("the login's repr", opened.login)
        search.add("the plugin's state", dict(opened.user.state(opened.name).records))
        search.add("the log of the plugin", "\n".join(opened.user.raw_log_lines))
        search.add("another logger", logged.text)
        printed = capsys.readouterr()
        search.add("the output", printed.out + printed.err)
        search.check()

    async def test_a_secret_is_no_part_of_a_url(self, opened: OpenProvider) -> None:
        """URLs stand in the logs of proxies and services."""
        await opened.rent()
        search = SecretSearch(opened)
        for call in list_plugin_calls(opened.faults):
            search.add("the URL of a request", f"{call.path}?{unquote(call.query)} {call.query}")
        search.check()

    async def test_the_secrets_of_a_login_are_declared(self, opened: OpenProvider) -> None:
        for name, value in opened.user.credentials[opened.setup.entry.auth].items():
            assert isinstance(value, Secret)
            assert name in [one.name for one in opened.setup.auth_entry.fields]
