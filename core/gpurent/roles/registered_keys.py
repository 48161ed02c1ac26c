"""Base of a provider at which an order names an SSH key that is registered with the account beforehand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import timedelta

from attrs import field, frozen

from gpurent.domain.evidence import LISTING_DELAY, Absent
from gpurent.domain.lease import Lease
from gpurent.domain.offer import Payment
from gpurent.errors import LeaseError, MoneyError, Spent
from gpurent.locale import _
from gpurent.locale.foreign_text import quote_reason
from gpurent.roles.labelled_provider import LabelledProvider, shorten_label
from gpurent.roles.plugin_context import PluginContext
from gpurent.terminal_text import ForeignText

PUBLIC_KEY = "public_key"


@frozen
class RegisteredKey:
    """``line`` as in a file authorized_keys."""

    id: str = field(converter=ForeignText)
    name: str = field(converter=ForeignText)
    line: str = field(converter=ForeignText)


class KeyRegister(ABC):
    """The account's registered SSH keys. Those that are not of an order of ours are neither used nor deleted."""

    @abstractmethod
    async def list_keys(self) -> Sequence[RegisteredKey]:
        """Return all of them."""

    @abstractmethod
    async def register_key(self, name: str, line: str) -> str:
        """Register a key; return what the service says against it, or nothing."""

    @abstractmethod
    async def unregister_key(self, key: RegisteredKey) -> None:
        """Delete a key; no error if it is gone."""

    async def add_key(self, name: str, line: str) -> RegisteredKey:
        """Return the key with this name, registered if there is none; raises `LeaseError` if it is another key."""
        found, refusal = await self._find_key(name), ""
        if found is None:
            refusal = await self.register_key(name, line)
            # A request that something on its way sends twice is refused, and was carried out.
            found = await self._find_key(name)
        if found is None:
            text = _("the service did not take the lease's key: {why}")
            raise LeaseError(text.format(why=quote_reason(refusal)), spent=Spent.NO)
        if not _is_same(found.line, line):
            text = _("another SSH key of the account is already called {name}")
            raise LeaseError(text.format(name=name), spent=Spent.NO)
        return found

    async def delete_key(self, name: str, line: str) -> None:
        """Delete the key with this name if it is this very one, however often the service took it."""
        for key in await self.list_keys():
            if key.name == name and _is_same(key.line, line):
                await self.unregister_key(key)

    async def _find_key(self, name: str) -> RegisteredKey | None:
        return next((key for key in await self.list_keys() if key.name == name), None)


def _is_same(one: str, other: str) -> bool:
    """Whether two lines have the same key, whatever their comments."""
    return one.split()[:2] == other.split()[:2]


class KeyedProvider(LabelledProvider):
    """A `LabelledProvider` that registers the lease's key under the machine's name, and deletes it in the end.

    `Lease.provider_data` has the key as `PUBLIC_KEY`; an adopted machine has none of ours. ``longest_name``: how many
    characters a name may have. `refresh_machine` has to call `end_key` for a lease that it finds over.
    """

    def __init__(
        self,
        context: PluginContext,
        service: str,
        keys: KeyRegister,
        longest_name: int,
        listing_delay: timedelta = LISTING_DELAY,
    ) -> None:
        super().__init__(context, service, listing_delay)
        self._keys, self._longest_name = keys, longest_name

    def name_machine(self, label: str) -> str:
        """Return the name of an order's machine and of its key."""
        return shorten_label(label, self._longest_name)

    async def begin_key(self, lease: Lease) -> RegisteredKey:
        """Register the lease's key, before its machine is created."""
        return await self._keys.add_key(self.name_machine(lease.label), lease.provider_data[PUBLIC_KEY])

    async def end_key(self, lease: Lease) -> None:
        """Delete the lease's key, if it is one of ours."""
        if line := lease.provider_data.get(PUBLIC_KEY):
            await self._keys.delete_key(self.name_machine(lease.label), line)

    async def confirm_lease(self, lease: Lease, payment: Payment) -> Lease:
        try:
            return await super().confirm_lease(lease, payment)
        except (LeaseError, MoneyError) as error:
            if error.spent is Spent.NO:
                await self.end_key(lease)
            raise

    async def release_lease(self, lease: Lease) -> Lease | Absent:
        ended = await super().release_lease(lease)
        if isinstance(ended, Absent) or ended.is_over:
            await self.end_key(lease)
        return ended
