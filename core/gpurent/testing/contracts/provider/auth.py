"""Contract tests for `gpurent.roles.account.Authenticator` and `SupportsEnrolment`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import pytest
from attrs import evolve

from gpurent.domain.evidence import Known
from gpurent.domain.secret import Secret
from gpurent.errors import AuthError, GpurentError, UnavailableError, UnexpectedResponse
from gpurent.roles.account import Login, SupportsEnrolment
from gpurent.testing.contracts.contract import require_capability, skip_without
from gpurent.testing.contracts.provider.bad_answers import (
    LOST_AFTER,
    QUERY_ANSWERS,
    CallCounter,
    ask,
    check_query,
    faulty,
)
from gpurent.testing.contracts.provider.base import ProviderContractBase
from gpurent.testing.contracts.provider.opened import OpenProvider

WRONG = "Wrong-secret-9"


class AuthContract(ProviderContractBase):
    """Contract tests for a login: what is wrong is told apart from what cannot be known now."""

    def get_credentials(self, opened: OpenProvider) -> Mapping[str, Secret]:
        return opened.user.credentials[opened.setup.entry.auth]

    async def log_in(self, opened: OpenProvider) -> Login:
        return await opened.authenticator.log_in(self.get_credentials(opened))

    async def test_a_login_is_valid_and_names_one_account(self, opened: OpenProvider) -> None:
        first, second = await self.log_in(opened), await self.log_in(opened)
        assert first.account == second.account == opened.account
        assert await opened.authenticator.is_valid(first)
        assert await opened.authenticator.is_valid(second)

    async def test_a_wrong_secret_is_rejected_and_not_repeated_in_the_error(
        self, opened: OpenProvider
    ) -> None:
        declared = [field.name for field in opened.setup.auth_entry.fields if field.secret]
        assert declared, "no field of the login is declared secret"
        for name in declared:
            fields = {**self.get_credentials(opened), name: Secret(WRONG)}
            with pytest.raises(AuthError) as caught:
                await opened.authenticator.log_in(fields)
            shown = f"{caught.value} {caught.value.hint} {caught.value.detail}"
            assert WRONG not in shown

    async def test_a_forged_token_is_not_valid(self, opened: OpenProvider) -> None:
        login = await self.log_in(opened)
        forged = evolve(login, token=Secret(_forge(login.token.reveal())))
        with suppress(AuthError):  # it cannot even be a token
            assert not await opened.authenticator.is_valid(forged)

    async def test_is_valid_asks_once_at_most(self, opened: OpenProvider) -> None:
        login = await self.log_in(opened)
        counter = CallCounter(opened)
        await opened.authenticator.is_valid(login)
        assert counter.count <= 1

    async def test_a_bad_answer_is_no_wrong_secret(self, opened: OpenProvider) -> None:
        counter = CallCounter(opened)
        await self.log_in(opened)
        if not counter.count:
            skip_without("request in its login", opened.setup.entry.auth)
        await check_query(opened, lambda: self.log_in(opened), lambda login: login.account)

    async def test_a_bad_answer_does_not_end_a_login(self, opened: OpenProvider) -> None:
        login = await self.log_in(opened)
        for answer in QUERY_ANSWERS:
            async with faulty(opened, answer):
                found = await ask(lambda: opened.authenticator.is_valid(login), answer.name)
            assert found is not False, f"{answer.name}: the login was taken for invalid"

    async def test_a_lost_login_is_repeated(self, opened: OpenProvider) -> None:
        async with faulty(opened, LOST_AFTER, times=1):
            await ask(lambda: self.log_in(opened))
        assert (await self.log_in(opened)).account == opened.account

    async def test_two_logins_at_once(self, opened: OpenProvider) -> None:
        found = await asyncio.gather(self.log_in(opened), self.log_in(opened))
        assert {login.account for login in found} == {opened.account}
        for login in found:
            assert await opened.authenticator.is_valid(login)

    async def test_a_rejected_login_is_no_empty_list(self, opened: OpenProvider) -> None:
        """The token has expired at the service: the plugin logs in again, or says so."""
        driver = await opened.rent()
        name = opened.setup.entry.auth
        login = opened.user.logins[name]
        opened.user.logins[name] = evolve(login, token=Secret(_forge(login.token.reveal())))
        try:
            found = await opened.provider.list_leases()
        except (AuthError, UnavailableError, UnexpectedResponse):
            return
        if isinstance(found, Known):
            assert driver.current_lease.ref in [lease.ref for lease in found.items]


class EnrolmentContract(ProviderContractBase):
    """Contract tests for the capability `SupportsEnrolment`."""

    async def test_a_new_key_logs_in_to_an_account_of_its_own(self, opened: OpenProvider) -> None:
        enrolling = require_capability(opened.authenticator, SupportsEnrolment, opened.setup.entry.auth)
        counter = CallCounter(opened)
        first, second = await enrolling.create_credentials(), await enrolling.create_credentials()
        declared = {field.name for field in opened.setup.auth_entry.fields}
        assert set(first) == set(second) <= declared
        logins = [await opened.authenticator.log_in(fields) for fields in (first, second)]
        assert len({opened.account, *(login.account for login in logins)}) == 3
        for login in logins:
            assert await opened.authenticator.is_valid(login)
        assert counter.count == 0, "nothing is sent before the user has a copy of the key"

    async def test_a_new_account_is_empty(self, opened: OpenProvider) -> None:
        require_capability(opened.authenticator, SupportsEnrolment, opened.setup.entry.auth)
        other = opened.sandbox.user()
        await other.login(opened.name)
        try:
            balance = await other.billing(opened.name).get_balance()
        except GpurentError as error:
            raise AssertionError(f"the balance of a new account cannot be read: {error}") from error
        assert balance.available.amount == 0


def _forge(token: str) -> str:
    """Return another token of the same form: digits and letters are shifted."""
    return "".join(_shift(letter) for letter in token)


def _shift(letter: str) -> str:
    if letter in "0123456789":
        return str((int(letter) + 3) % 10)
    return letter
