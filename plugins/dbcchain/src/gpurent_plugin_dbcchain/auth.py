"""The key is the account."""

from __future__ import annotations

from collections.abc import Mapping

from gpurent.api import Authenticator, Enrolling, Login, Secret
from gpurent_plugin_dbcchain.keys import new_phrase, pair_of, seed_of


class KeyLogin(Authenticator, Enrolling):
    """Nobody is asked: the address follows from the key."""

    async def login(self, given: Mapping[str, Secret]) -> Login:
        seed = Secret("0x" + seed_of(given["secret"]).hex())
        return Login(account=pair_of(seed).address, token=seed)

    async def valid(self, login: Login) -> bool:
        return pair_of(login.token).address == login.account

    async def enrol(self) -> Mapping[str, Secret]:
        return {"secret": new_phrase()}
