"""The one way to a machine: whether it may be contacted, which host key is pinned, and which password it gets.

Core opens connections to machines nowhere else, so that no code, key or password goes to a machine that a stranger
named. The rule itself is in `gpurent.domain.first_contact`.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Collection, Sequence
from enum import Enum

from attrs import field, frozen

from gpurent.domain.access import AddressKind, Endpoint, classify_address
from gpurent.domain.events import EventKind
from gpurent.domain.first_contact import (
    Contact,
    ContactDecision,
    Doubt,
    PlaceState,
    decide_contact,
    list_doubts,
)
from gpurent.domain.lease import Lease
from gpurent.domain.secret import Secret
from gpurent.errors import AuthError, HostKeyChanged
from gpurent.locale import _
from gpurent.ports.connection import Connector, HostKey, OpenConnection, PrivateKey
from gpurent.ports.services import SecretStore
from gpurent.workflow.connection.contact_questions import (
    ContactQuestions,
    ContactRequest,
    make_mismatch_error,
)
from gpurent.workflow.runtime.events import EventEmitter


class PasswordProof(Enum):
    """Whether a machine accepts a password. NOT_ASKED: the password may not be sent there, or there is none."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    NOT_ASKED = "not-asked"


@frozen
class MachineContacts:
    """``uses_real_services()``: whether this data folder is used with a service that is not a sandbox's."""

    connector: Connector
    secrets: SecretStore
    questions: ContactQuestions
    events: EventEmitter
    uses_real_services: Callable[[], Awaitable[bool]]
    _asking: asyncio.Lock = field(factory=asyncio.Lock, init=False)

    async def open_connection(self, lease: Lease, request: ContactRequest) -> OpenConnection:
        """Connect to the lease's machine, with the password that belongs to it.

        Raises `InputRequired` if only a person can decide and nobody is there, and what `Connector` raises.
        """
        addresses = await self.admit_machine(request)
        password = self._choose_password(lease, request)
        return await self.connect(request, password, addresses=addresses)

    async def connect(
        self,
        request: ContactRequest,
        password: Secret | None,
        own_key: PrivateKey | None = None,
        *,
        addresses: Sequence[str],
    ) -> OpenConnection:
        """Connect to a machine that was admitted. A changed host key is a question, and gets no password."""
        try:
            return await self.connector.open_connection(
                request.lease_id, request.endpoint, password, own_key, addresses=addresses
            )
        except HostKeyChanged:
            async with self._asking:
                await self._admit(request, addresses, PlaceState.OTHER_KEY)
        return await self.connector.open_connection(
            request.lease_id, request.endpoint, None, own_key, addresses=addresses
        )

    async def admit_machine(self, request: ContactRequest) -> Sequence[str]:
        """Return the addresses at which the machine may be contacted; its host key is pinned then."""
        addresses = await self.connector.resolve_host(request.endpoint)
        async with self._asking:
            pinned = self.connector.find_pinned_host_key(request.lease_id, request.endpoint)
            if pinned is None:
                await self._admit(request, addresses, self._find_state(request))
            elif request.fingerprint and not _is_same(request.fingerprint, pinned.fingerprint):
                await self._admit(request, addresses, PlaceState.OTHER_KEY)
        return addresses

    async def try_password(
        self, lease: Lease, request: ContactRequest, foreign_keys: Collection[str]
    ) -> PasswordProof:
        """Say whether the machine accepts the lease's password, where the rule lets it be contacted unasked.

        Nobody is asked, and nothing is pinned or installed. ``foreign_keys`` are host keys of other leases. Raises
        `UnavailableError` while the machine does not answer.
        """
        addresses = await self.connector.resolve_host(request.endpoint)
        key = self.connector.find_pinned_host_key(request.lease_id, request.endpoint)
        if key is None:
            if list_doubts(await self._describe_contact(request, addresses, self._find_state(request))):
                return PasswordProof.NOT_ASKED
            key = await self.connector.fetch_host_key(request.endpoint, addresses)
        if key.line in foreign_keys:
            return PasswordProof.REJECTED
        password = self._find_password(lease, request, key)
        if password is None:
            return PasswordProof.NOT_ASKED
        try:
            await self.connector.check_password(request.endpoint, key, password, addresses)
        except (AuthError, HostKeyChanged):
            return PasswordProof.REJECTED
        self._record_place(lease, request.endpoint, key, password)
        return PasswordProof.ACCEPTED

    def _find_state(self, request: ContactRequest) -> PlaceState:
        """Return what the lease knows of a place where it has no current pin."""
        pins = self.connector.list_host_keys(request.lease_id)
        if any(pin.is_current for pin in pins):
            return PlaceState.OTHER_PLACE
        return PlaceState.ORDERED if pins else PlaceState.FIRST

    async def _describe_contact(
        self, request: ContactRequest, addresses: Sequence[str], state: PlaceState
    ) -> Contact:
        return Contact(
            endpoint=request.endpoint,
            source=request.source,
            place=state,
            address=_classify(addresses),
            uses_real_services=await self.uses_real_services(),
        )

    async def _admit(self, request: ContactRequest, addresses: Sequence[str], state: PlaceState) -> None:
        """Pin the host key that the machine shows, if the rule, the user's fingerprint or a person allows it."""
        contact = await self._describe_contact(request, addresses, state)
        decision, doubts = decide_contact(contact), list_doubts(contact)
        if Doubt.INNER_ADDRESS in doubts and not request.fingerprint:
            # Not even dialled before somebody agrees.
            await self.questions.require_agreement(request, None, doubts)
            decision = ContactDecision.GO
        key = await self.connector.fetch_host_key(request.endpoint, addresses)
        if request.fingerprint:
            if not _is_same(request.fingerprint, key.fingerprint):
                raise make_mismatch_error(request.endpoint, key.fingerprint, request.fingerprint)
        elif decision is ContactDecision.ASK_ALWAYS:
            await self.questions.require_agreement(request, key, doubts)
        elif decision is ContactDecision.ASK_ONCE:
            await self.questions.ask_once(request, key)
        self.connector.pin_host_key(request.lease_id, request.endpoint, key)
        self._report(request, key, state)

    def _report(self, request: ContactRequest, key: HostKey, state: PlaceState) -> None:
        text = _("{endpoint} has the host key {fingerprint}, which is pinned from now on")
        if state is PlaceState.ORDERED:
            text = _("{endpoint} is the new machine of this lease: its host key is {fingerprint}")
        self.events.emit(
            EventKind.HOST_KEY,
            text.format(endpoint=request.endpoint, fingerprint=key.fingerprint),
            lease=request.lease_id,
            endpoint=str(request.endpoint),
            fingerprint=key.fingerprint,
        )

    def _choose_password(self, lease: Lease, request: ContactRequest) -> Secret | None:
        """Return the lease's password, unless it was meant for a machine at another place or with another key.

        One that came together with this endpoint is this machine's own, wherever it was used, but never of another key
        at the same place. Any other belongs to the first machine that is offered it, which is recorded before.
        """
        key = self.connector.find_pinned_host_key(request.lease_id, request.endpoint)
        password = self._find_password(lease, request, key) if key is not None else None
        if password is not None and key is not None:
            self._record_place(lease, request.endpoint, key, password)
        return password

    def _find_password(self, lease: Lease, request: ContactRequest, key: HostKey) -> Secret | None:
        vault = self.secrets.get_vault(lease.provider)
        password = vault.get(lease.password_ref) if lease.password_ref else None
        known = vault.get(_name_place(lease))
        if password is None or known is None:
            return password
        machine, _newline, used = known.reveal().partition("\n")
        if used != password.reveal() or machine == _describe_machine(request.endpoint, key):
            return password
        is_same_place = machine.rpartition(" ")[0] == _describe_place(request.endpoint)
        came_with_it = request.source.has_password and request.source.endpoint == request.endpoint
        return password if came_with_it and not is_same_place else None

    def _record_place(self, lease: Lease, endpoint: Endpoint, key: HostKey, password: Secret) -> None:
        record = Secret(f"{_describe_machine(endpoint, key)}\n{password.reveal()}")
        vault, name = self.secrets.get_vault(lease.provider), _name_place(lease)
        known = vault.get(name)
        if known is None or known.reveal() != record.reveal():
            vault.put(name, record)


def _name_place(lease: Lease) -> str:
    """Return the vault's name of where the lease's password was used."""
    return f"{lease.password_ref}-place"


def _describe_place(endpoint: Endpoint) -> str:
    return f"{endpoint.address}:{endpoint.port}"


def _describe_machine(endpoint: Endpoint, key: HostKey) -> str:
    return f"{_describe_place(endpoint)} {key.fingerprint}"


def _classify(addresses: Sequence[str]) -> AddressKind:
    """Return the most inner kind: whichever of the addresses answers is dialled."""
    kinds = {classify_address(address) for address in addresses}
    if len(kinds) > 1:
        return AddressKind.PRIVATE  # a name that leads inside and outside is no sandbox's either
    return next(iter(kinds), AddressKind.PUBLIC)


def _is_same(given: str, shown: str) -> bool:
    return hmac.compare_digest(given.rstrip("=").encode(), shown.encode())
