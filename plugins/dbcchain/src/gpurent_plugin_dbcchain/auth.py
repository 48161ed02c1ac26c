"""The key is the account."""

from __future__ import annotations

from collections.abc import Mapping

from gpurent.api import Authenticator, Login, Secret, SupportsEnrolment
from gpurent_plugin_dbcchain.keys import new_phrase, pair_of, seed_of


class KeyLogin(Authenticator, SupportsEnrolment):
    """Nobody is asked: the address follows from the key."""

    async def login(self, given: Mapping[str, Secret]) -> Login:
        seed = Secret("0x" + seed_of(given["secret"]).hex())
        return Login(account=pair_of(seed).address, token=seed)

    async def valid(self, login: Login) -> bool:
        return pair_of(login.token).address == login.account

    async def enrol(self) -> Mapping[str, Secret]:
        return {"secret": new_phrase()}
