"""From an SSH line to a lease like any other, and the user's word about such a machine."""

from __future__ import annotations

import hmac
import secrets
from datetime import datetime

from attrs import evolve, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.machine_facts import MachineFacts
from gpurent.domain.offer import Hardware, Offer, Terms
from gpurent.errors import GpurentError, HostKeyChanged, UsageError
from gpurent.locale import _
from gpurent.ports.connection import Connector, OpenConnection, PrivateKey, Reachability
from gpurent.ports.services import SecretRegistry, SecretStore
from gpurent.ports.system import Clock
from gpurent.roles.lease import Access
from gpurent.workflow.connection.probes import MachineFactsReader
from gpurent.workflow.manual.billing import DeclaredAmount, declared_money, usage
from gpurent.workflow.manual.provider import CONFIRMED
from gpurent.workflow.runtime.leases import LeaseTracker
from gpurent.workflow.runtime.plugins import Plugins

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"


@frozen(kw_only=True)
class Handed:
    """What the user brings. ``own``: a private key that lets us in; ``fingerprint``: what the host key must be."""

    provider: str
    access: Access
    terms: Terms
    fingerprint: str = ""
    own: PrivateKey | None = None


@frozen
class Adoption:
    leases: LeaseTracker
    connector: Connector
    secrets: SecretStore
    hidden: SecretRegistry
    facts: MachineFactsReader

    async def adopt(self, lease_id: str, handed: Handed) -> Lease:
        """Pin the host key, log in, look around, and save the lease. Spends nothing; idempotent.

        Another host key than ``fingerprint`` is `HostKeyChanged`, and nothing secret was sent.
        """
        known = self.leases.store.lease(lease_id)
        if known is not None:
            return known
        self._require_new(handed)
        connection = await self._log_in(lease_id, handed)
        try:
            found = await self._read_facts(handed.provider, connection)
        finally:
            await connection.aclose()
        ref = await self._keep_password(lease_id, handed)
        return self.leases.save_lease(_lease(lease_id, handed, found, ref))

    def _require_new(self, handed: Handed) -> None:
        endpoint = handed.access.endpoint
        for lease in self.leases.list_leases():
            there = lease.endpoint
            if there and (there.address, there.port) == (endpoint.address, endpoint.port):
                raise UsageError(
                    _("{endpoint} is {lease} already").format(endpoint=endpoint, lease=lease.id),
                    hint=_("See: gpurent show {lease}").format(lease=lease.id),
                )

    async def _log_in(self, lease_id: str, handed: Handed) -> OpenConnection:
        """A connection to the pinned machine; a failure leaves no key behind."""
        access = handed.access
        try:
            await self._pin(lease_id, handed)
            return await self.connector.open(lease_id, access.endpoint, access.password, handed.own)
        except BaseException:
            self.connector.drop(lease_id)
            raise

    async def _pin(self, lease_id: str, handed: Handed) -> None:
        shown = await self.connector.pin(lease_id, handed.access.endpoint)
        text = _("The machine shows the host key {fingerprint}; trusted on first use, pinned from here on.")
        if handed.fingerprint:
            if not hmac.compare_digest(handed.fingerprint.rstrip("=").encode(), shown.encode()):
                raise HostKeyChanged(
                    _("{endpoint} shows the host key {shown}, not {expected}").format(
                        endpoint=handed.access.endpoint, shown=shown, expected=handed.fingerprint
                    ),
                    hint=_(
                        "Somebody may be in between, or the fingerprint is another machine's. No password was sent."
                    ),
                )
            text = _("The machine shows the host key {fingerprint}, as you said.")
        self.leases.events.emit(EventKind.HOST_KEY, text.format(fingerprint=shown), lease=lease_id)

    async def _read_facts(self, provider: str, connection: OpenConnection) -> MachineFacts | None:
        """Best effort: a machine that says nothing of itself is taken all the same."""
        try:
            return await self.facts.read(provider, connection)
        except GpurentError as error:
            self.leases.events.emit(EventKind.WARNING, error.message)
            return None

    async def _keep_password(self, lease_id: str, handed: Handed) -> str:
        """The name under which the vault has it now; empty for no password."""
        password = handed.access.password
        if password is None:
            return ""
        name = f"password-{lease_id}"
        self.hidden.register(password)
        await self.secrets.unlock(create=True)
        self.secrets.scoped(handed.provider).put(name, password)
        return name


def _hardware(found: MachineFacts) -> Hardware:
    first = found.cards[0] if found.cards else None
    return Hardware(
        gpu=first.name if first else "",
        gpus=len(found.cards),
        gpu_memory=(first.memory or 0) // 1024 if first else 0,
        cpus=found.cpus,
        memory=found.memory // 1024,
    )


def _lease(lease_id: str, handed: Handed, found: MachineFacts | None, password_ref: str) -> Lease:
    terms, endpoint = handed.terms, handed.access.endpoint
    offer = Offer(
        key=f"{endpoint.host}:{endpoint.port}",
        provider=handed.provider,
        hardware=_hardware(found) if found else Hardware(),
        tariff=terms.tariff,
    )
    return Lease(
        id=lease_id,
        provider=handed.provider,
        offer=offer,
        state=LeaseState.READY,
        ref=handed.access.ref,
        label=lease_id,
        endpoint=endpoint,
        password_ref=password_ref,
        started_at=terms.at,
        expires_at=terms.ends(terms.at),
        declared=terms,
        found=found,
        note=_("taken over by hand"),
    )


@frozen
class ManualCommands:
    plugins: Plugins
    adoption: Adoption
    leases: LeaseTracker
    connector: Connector
    clock: Clock

    async def adopt(self, handed: Handed) -> Lease:
        """A lease with an id of its own, taken over now. An unknown provider is a `PluginError`."""
        self.plugins.provider_entry(handed.provider)
        mark = "".join(secrets.choice(_LETTERS) for _i in range(5))
        return await self.adoption.adopt(f"{handed.provider}-{mark}", handed)

    def declare(
        self, given: str, balance: DeclaredAmount | None = None, until: datetime | None = None
    ) -> Lease:
        """New terms of a lease: what its account holds now, when the provider ends it."""
        lease, terms = self._adopted(given)
        if lease.started_at is None:
            raise UsageError(_("{lease} has no terms").format(lease=lease.id))
        if balance is not None:
            _span, used = usage(evolve(lease, expires_at=None), terms, self.clock.now())
            terms = evolve(terms, balance=declared_money(balance, used) + used)
        if until is not None:
            terms = evolve(terms, until=until)
        ends = terms.ends(lease.started_at)
        return self.leases.save_lease(evolve(lease, declared=terms, expires_at=ends, note=""))

    async def confirm_end(self, given: str) -> Lease:
        """The machine has ended, says the user; one that still answers is reported, for the word may be wrong.

        What is left is to release the lease.
        """
        lease, _terms = self._adopted(given)
        endpoint = lease.endpoint
        if endpoint and await self.connector.probe(lease.id, endpoint) is Reachability.ANSWERS:
            text = _("{endpoint} still answers: look at the provider's page again, it may cost money")
            self.leases.events.emit(EventKind.WARNING, text.format(endpoint=endpoint), lease=lease.id)
        facts = {**lease.shop, CONFIRMED: self.clock.now().isoformat()}
        return self.leases.save_lease(evolve(lease.to(LeaseState.RELEASING), shop=facts))

    def _adopted(self, given: str) -> tuple[Lease, Terms]:
        """The lease and its terms; one that its provider reports on, or that is over, is a `UsageError`."""
        lease = self.leases.find_lease(given)
        if lease.declared is None:
            raise UsageError(
                _("{lease} was not taken over by hand: its shop says how it stands").format(lease=lease.id)
            )
        if lease.over:
            raise UsageError(_("{lease} is over").format(lease=lease.id))
        return lease, lease.declared
