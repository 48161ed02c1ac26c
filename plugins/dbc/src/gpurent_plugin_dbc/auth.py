"""The private key is the account."""

from __future__ import annotations

from collections.abc import Mapping

from gpurent.api import Authenticator, Login, Secret, SupportsEnrolment
from gpurent_plugin_dbc.keys import address_of, new_private, public_of


class KeyLogin(Authenticator, SupportsEnrolment):
    """Nothing is asked of anybody: the address follows from the key."""

    async def login(self, given: Mapping[str, Secret]) -> Login:
        private = Secret(given["private_key"].reveal().strip().lower())
        return Login(account=address_of(public_of(private)), token=private)

    async def valid(self, login: Login) -> bool:
        return address_of(public_of(login.token)) == login.account

    async def enrol(self) -> Mapping[str, Secret]:
        return {"private_key": new_private()}
