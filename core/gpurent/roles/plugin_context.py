"""What core gives to a plugin. Plugins receive it and never build it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from logging import Logger
from typing import Protocol

from attrs import evolve

from gpurent.domain.access import AccessSource
from gpurent.domain.lease import Lease
from gpurent.domain.question import Challenge
from gpurent.ports.local_files import LocalFiles
from gpurent.ports.services import Http, MailReader, PluginState, Vault
from gpurent.ports.system import ProviderClock
from gpurent.roles.account import Login


class PluginContext(Protocol):
    """The plugin's access to everything outside itself."""

    @property
    def http(self) -> Http: ...
    @property
    def clock(self) -> ProviderClock:
        """The service's time as far as its responses show it; before the first one, see `begin_request`."""

    @property
    def vault(self) -> Vault: ...
    @property
    def state(self) -> PluginState:
        """Values that the plugin stores between runs."""

    @property
    def mail(self) -> MailReader: ...
    @property
    def settings(self) -> Mapping[str, str]:
        """The plugin's settings as text, with declared defaults filled in."""

    @property
    def files(self) -> LocalFiles:
        """The files of this computer, for transfers."""

    @property
    def log(self) -> Logger: ...
    def http_for(self, setting: str) -> Http:
        """Return a client for the plugin's second service, whose base URL is the setting ``setting``."""

    def lock(self, name: str) -> AbstractAsyncContextManager[None]:
        """Wait for the lock ``name`` of this plugin, which one process of the user holds at a time.

        It is not reentrant. Raises `BusyError` after some minutes.
        """

    async def get_login(self, *, force_new: bool = False) -> Login:
        """Return a valid login at the provider; raises `AuthError` if there is none.

        ``force_new``: the last one was rejected, so log in again.
        """

    async def answer_challenge(self, challenge: Challenge) -> str:
        """Return the answer, which is what group 1 of the challenge's pattern matches.

        It is looked for in the mailbox first, else the user is asked for it.

        Waits for the mail for a few minutes of provider time; raises `InputRequired` if nobody is there to answer.
        """

    async def identify_service(self, url: str) -> AccessSource:
        """Return the source of what the service at ``url`` states under the user's login.

        It is authenticated over TLS (``https``, ``imaps``), or if it is a service of this user's sandbox, which proves
        itself now.
        """


async def add_access_source(
    context: PluginContext, lease: Lease, url: str, *, has_password: bool = False
) -> Lease:
    """Return the lease with the source of its endpoint, which the service at ``url`` has just stated.

    A provider calls this for each lease that gets an endpoint; one without a source is never connected to without a
    question. ``has_password``: it stated the password too.
    """
    (found,) = await add_access_sources(context, (lease,), url, has_password=has_password)
    return found


async def add_access_sources(
    context: PluginContext, leases: Sequence[Lease], url: str, *, has_password: bool = False
) -> list[Lease]:
    """As `add_access_source`, for a whole list: the service is identified once."""
    source: AccessSource | None = None
    found = []
    for lease in leases:
        if lease.endpoint is not None and not lease.access_source.is_proof_of(lease.endpoint):
            source = source or await context.identify_service(url)
            vouched = source.vouch_for(lease.endpoint, has_password=has_password)
            found.append(evolve(lease, access_source=vouched))
        else:
            found.append(lease)
    return found
