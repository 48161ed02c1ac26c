"""Adopting a machine from its SSH command, and what the user declares about it."""

from __future__ import annotations

from datetime import datetime

from attrs import evolve, frozen

from gpurent.domain.access import Endpoint
from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.machine_facts import MachineFacts
from gpurent.domain.offer import DeclaredTerms, Hardware, Offer
from gpurent.domain.provider_names import make_id_prefix
from gpurent.errors import AuthError, GpurentError, UsageError
from gpurent.locale import _
from gpurent.ports.connection import Connector, OpenConnection, PrivateKey, Reachability
from gpurent.ports.services import SecretRegistry, SecretStore
from gpurent.ports.system import Clock
from gpurent.roles.lease import MachineAccess
from gpurent.workflow.connection.contact_questions import ContactRequest, make_request
from gpurent.workflow.connection.contacts import MachineContacts
from gpurent.workflow.connection.probes import MachineFactsReader
from gpurent.workflow.manual.billing import DeclaredAmount, compute_usage, parse_declared_amount
from gpurent.workflow.manual.provider import CONFIRMED_AT
from gpurent.workflow.runtime.durable_steps import make_random_mark
from gpurent.workflow.runtime.leases import LeaseTracker
from gpurent.workflow.runtime.plugins import Plugins


@frozen(kw_only=True)
class AdoptionRequest:
    """What the user provides about a machine to adopt.

    ``private_key`` is a private key to log in with; ``fingerprint`` is that of the expected host key, empty if the user
    does not know it.
    """

    provider: str
    access: MachineAccess
    terms: DeclaredTerms
    fingerprint: str = ""
    private_key: PrivateKey | None = None


@frozen
class Adoption:
    leases: LeaseTracker
    connector: Connector
    contacts: MachineContacts
    secrets: SecretStore
    secret_registry: SecretRegistry
    facts: MachineFactsReader

    async def adopt_machine(self, lease_id: str, request: AdoptionRequest) -> Lease:
        """Pin the host key, log in, read the machine's facts, and save the lease. Spends nothing; idempotent.

        A machine of ours that rejects the password that we have keeps its lease, which gets this password. Raises
        `HostKeyChanged` if the host key differs from ``fingerprint``, before any secret is sent, and `UsageError` if
        the machine is ours already.
        """
        known = await self.leases.store.find_lease(lease_id)
        if known is not None:
            return known
        ours = await self._find_lease_there(request.access.endpoint)
        if ours is not None:
            return await self._restore_access(ours, request)
        connection = await self._open_connection(lease_id, request)
        try:
            found = await self._read_facts(request.provider, connection)
        finally:
            await connection.close()
        ref = await self._save_password(lease_id, request)
        return await self.leases.save_lease(_make_lease(lease_id, request, found, ref))

    async def _find_lease_there(self, endpoint: Endpoint) -> Lease | None:
        for lease in await self.leases.list_leases():
            there = lease.endpoint
            if there and (there.address, there.port) == (endpoint.address, endpoint.port):
                return lease
        return None

    async def _restore_access(self, lease: Lease, request: AdoptionRequest) -> Lease:
        """Give the lease the password that the user has, if the machine accepts that and not the one that we have."""
        endpoint, password = request.access.endpoint, request.access.password
        if lease.endpoint != endpoint or lease.provider != request.provider or password is None:
            raise _make_known_error(endpoint, lease)
        source = request.access.source.vouch_for(endpoint, has_password=True)
        visit = evolve(make_request(lease, endpoint, fingerprint=request.fingerprint), source=source)
        try:
            connection = await self.contacts.open_connection(lease, visit)
        except AuthError:
            addresses = await self.contacts.admit_machine(visit)
            connection = await self.contacts.connect(visit, password, addresses=addresses)
            await connection.close()
            ref = await self._save_password(lease.id, request)
            return await self.leases.update_lease(
                lease.id, lambda seen: evolve(seen, password_ref=ref, access_source=source)
            )
        await connection.close()
        raise _make_known_error(endpoint, lease)

    async def _require_unknown_machine(self, lease_id: str, request: AdoptionRequest) -> None:
        """Raise `UsageError` if a machine of ours has this host key and port, under another name or address.

        Machines that were made from one image may share their key, so that one whose key the user names is believed.
        """
        endpoint = request.access.endpoint
        shown = self.connector.find_pinned_host_key(lease_id, endpoint)
        for other in await self.leases.list_leases():
            if shown is None or request.fingerprint or other.id == lease_id or other.endpoint is None:
                continue
            same = self.connector.find_pinned_host_key(other.id, other.endpoint) == shown
            if same and other.endpoint.port == endpoint.port:
                error = _make_known_error(endpoint, other)
                text = _("If it is another machine with the same host key, add: --fingerprint {fingerprint}")
                error.hint = f"{error.hint}\n{text.format(fingerprint=shown.fingerprint)}"
                raise error

    async def _open_connection(self, lease_id: str, request: AdoptionRequest) -> OpenConnection:
        """Pin the host key and connect; on failure, delete the lease's key files."""
        access = request.access
        visit = ContactRequest(
            lease_id=lease_id,
            endpoint=access.endpoint,
            source=access.source.vouch_for(access.endpoint, has_password=True),
            fingerprint=request.fingerprint,
            how_to_answer=_make_adopt_command(request),
        )
        try:
            addresses = await self.contacts.admit_machine(visit)
            await self._require_unknown_machine(lease_id, request)
            return await self.contacts.connect(
                visit, access.password, request.private_key, addresses=addresses
            )
        except BaseException:
            self.connector.delete_lease_files(lease_id)
            raise

    async def _read_facts(self, provider: str, connection: OpenConnection) -> MachineFacts | None:
        """Read the facts, best effort: a machine that does not report any is adopted all the same."""
        try:
            return await self.facts.read_facts(provider, connection)
        except GpurentError as error:
            self.leases.events.emit(EventKind.WARNING, error.message)
            return None

    async def _save_password(self, lease_id: str, request: AdoptionRequest) -> str:
        """Save the password in the vault and return its name there; empty for no password."""
        password = request.access.password
        if password is None:
            return ""
        name = f"password-{lease_id}"
        self.secret_registry.register_secret(password)
        await self.secrets.unlock(create=True)
        self.secrets.get_vault(request.provider).put(name, password)
        return name


def _make_adopt_command(request: AdoptionRequest) -> str:
    """Return the command that adopts this machine."""
    return f'gpurent adopt "{request.access.endpoint}" --provider {request.provider}'


def _make_known_error(endpoint: Endpoint, lease: Lease) -> UsageError:
    return UsageError(
        _("{endpoint} already belongs to {lease}").format(endpoint=endpoint, lease=lease.id),
        hint=_("See: gpurent show {lease}").format(lease=lease.id),
    )


def _make_hardware(found: MachineFacts) -> Hardware:
    first = found.gpus[0] if found.gpus else None
    return Hardware(
        gpu=first.name if first else "",
        gpus=len(found.gpus),
        gpu_memory=(first.memory or 0) // 1024 if first else 0,
        cpus=found.cpus,
        memory=found.memory // 1024,
    )


def _make_lease(
    lease_id: str, request: AdoptionRequest, found: MachineFacts | None, password_ref: str
) -> Lease:
    terms, endpoint = request.terms, request.access.endpoint
    offer = Offer(
        key=f"{endpoint.host}:{endpoint.port}",
        provider=request.provider,
        hardware=_make_hardware(found) if found else Hardware(),
        tariff=terms.tariff,
    )
    return Lease(
        id=lease_id,
        provider=request.provider,
        offer=offer,
        state=LeaseState.READY,
        ref=request.access.ref,
        label=lease_id,
        endpoint=endpoint,
        access_source=request.access.source.vouch_for(endpoint, has_password=True),
        password_ref=password_ref,
        started_at=terms.at,
        expires_at=terms.end_time(terms.at),
        declared=terms,
        machine_facts=found,
        note=_("adopted"),
    )


@frozen
class ManualCommands:
    plugins: Plugins
    adoption: Adoption
    leases: LeaseTracker
    connector: Connector
    clock: Clock

    async def adopt_machine(self, request: AdoptionRequest) -> Lease:
        """Adopt a machine now, under a new lease id. Raises `PluginError` for an unknown provider."""
        self.plugins.provider_entry(request.provider)
        lease_id = f"{make_id_prefix(request.provider)}-{make_random_mark()}"
        return await self.adoption.adopt_machine(lease_id, request)

    async def declare_terms(
        self, lease_id: str, balance: DeclaredAmount | None = None, until: datetime | None = None
    ) -> Lease:
        """Update the declared terms of a lease: the current balance of its account, or when the provider ends it."""
        lease, terms = await self._get_adopted_lease(lease_id)
        if lease.started_at is None:
            raise UsageError(_("{lease} has no declared terms").format(lease=lease.id))
        if balance is not None:
            _span, used = compute_usage(evolve(lease, expires_at=None), terms, self.clock.now())
            terms = evolve(terms, balance=parse_declared_amount(balance, used) + used)
        if until is not None:
            terms = evolve(terms, until=until)
        ends = terms.end_time(lease.started_at)
        return await self.leases.save_lease(evolve(lease, declared=terms, expires_at=ends, note=""))

    async def confirm_end(self, lease_id: str) -> Lease:
        """Record the user's statement that the machine has ended; warn if it still answers, as they may be mistaken.

        The lease remains to be released.
        """
        lease, _terms = await self._get_adopted_lease(lease_id)
        endpoint = lease.endpoint
        if endpoint and await self.connector.probe_endpoint(lease.id, endpoint) is Reachability.REACHABLE:
            text = _("{endpoint} still answers: check the provider's page again, it may still cost money")
            self.leases.events.emit(EventKind.WARNING, text.format(endpoint=endpoint), lease=lease.id)
        facts = {**lease.provider_data, CONFIRMED_AT: self.clock.now().isoformat()}
        return await self.leases.save_lease(
            evolve(lease.with_state(LeaseState.RELEASING), provider_data=facts)
        )

    async def _get_adopted_lease(self, lease_id: str) -> tuple[Lease, DeclaredTerms]:
        """Return the lease and its terms. Raises `UsageError` if it was not adopted or is over."""
        lease = await self.leases.get_lease(lease_id)
        if lease.declared is None:
            raise UsageError(
                _("{lease} was not adopted; its provider reports its state").format(lease=lease.id)
            )
        if lease.is_over:
            raise UsageError(_("{lease} has ended").format(lease=lease.id))
        return lease, lease.declared
