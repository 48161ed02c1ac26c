"""Proves that a machine is ours before anything is done to it, where the provider takes no key or label of ours."""

from __future__ import annotations

from attrs import evolve, frozen

from gpurent.domain.access import Endpoint
from gpurent.domain.lease import Lease
from gpurent.errors import AuthError, ForeignMachine, HostKeyChanged, UnavailableError
from gpurent.locale import _
from gpurent.ports.connection import Connector, HostKey, OpenConnection
from gpurent.ports.services import SecretStore
from gpurent.workflow.connection.contact_questions import make_request
from gpurent.workflow.connection.contacts import MachineContacts
from gpurent.workflow.runtime.leases import LeaseTracker
from gpurent.workflow.runtime.unforeseen import add_hint


def suggest_password(provider: str, endpoint: Endpoint) -> str:
    text = _('If you know its password: gpurent adopt "{endpoint}" --provider {provider}')
    return text.format(endpoint=endpoint, provider=provider)


@frozen
class OwnershipProof:
    """The proof is a login with the password that was made for this lease's order alone.

    For the proof alone, which a release needs, nobody is asked whether to contact the machine: nothing else is sent to
    it, and nothing is pinned. A machine whose access is doubtful can so be released.
    """

    leases: LeaseTracker
    connector: Connector
    secrets: SecretStore
    contacts: MachineContacts

    async def prove_ownership(self, lease: Lease) -> Lease:
        """Return the lease, proven to be ours; at once if it needs no proof.

        Raises `ForeignMachine` if the machine is somebody else's, and `UnavailableError` while it cannot be asked.
        """
        if not lease.needs_proof:
            return lease
        if lease.endpoint is None:
            raise UnavailableError(
                _("{lease} has no address yet, so it cannot be checked that it is ours").format(
                    lease=lease.id
                ),
                retryable=True,
                burning=(lease.id,),
            )
        if not await self.try_password(lease):
            raise _make_error(lease)
        return await self.leases.update_lease(lease.id, lambda seen: evolve(seen, needs_proof=False))

    async def open_connection(
        self, lease: Lease, endpoint: Endpoint, *, fingerprint: str = "", may_ask: bool = True
    ) -> OpenConnection:
        """Connect to the lease's machine; one that needs a proof is proven by it.

        Raises `ForeignMachine`, and `InputRequired` if only a person can say whether this is the lease's machine.
        """
        request = evolve(make_request(lease, endpoint, fingerprint=fingerprint), may_ask=may_ask)
        if not lease.needs_proof:
            try:
                return await self.contacts.open_connection(lease, request)
            except AuthError as error:
                add_hint(error, suggest_password(lease.provider, endpoint))
                raise
        await self.contacts.admit_machine(request)
        try:
            self._reject_known_machine(
                lease,
                self.connector.find_pinned_host_key(lease.id, endpoint),
                await self._list_others_keys(lease),
            )
            connection = await self.contacts.open_connection(lease, request)
        except (AuthError, ForeignMachine):
            self.connector.unpin_host_key(lease.id, endpoint)
            raise _make_error(lease) from None
        await self.leases.update_lease(lease.id, lambda seen: evolve(seen, needs_proof=False))
        return connection

    async def try_password(self, lease: Lease) -> bool:
        """Return whether the machine at the lease's address accepts this lease's own password; saves nothing.

        False as well if there is no address or no password. Raises `UnavailableError` while it cannot be asked.
        """
        password = self.secrets.get_vault(lease.provider).get(lease.password_ref)
        endpoint = lease.endpoint
        if endpoint is None or password is None:
            return False
        addresses = await self.connector.resolve_host(endpoint)
        pinned = self.connector.find_pinned_host_key(lease.id, endpoint)
        try:
            key = pinned or await self.connector.fetch_host_key(endpoint, addresses)
            self._reject_known_machine(lease, key, await self._list_others_keys(lease))
            await self.connector.check_password(endpoint, key, password, addresses)
        except (AuthError, ForeignMachine, HostKeyChanged):
            return False
        return True

    async def _list_others_keys(self, lease: Lease) -> set[str]:
        """Return the host keys that other living leases of this provider have pinned.

        Only of one provider: machines made from one image may share their key, wherever they are rented.
        """
        return {
            pinned.line
            for other in await self.leases.list_leases()
            if other.id != lease.id and other.provider == lease.provider and other.endpoint is not None
            if (pinned := self.connector.find_pinned_host_key(other.id, other.endpoint)) is not None
        }

    def _reject_known_machine(self, lease: Lease, key: HostKey | None, others: set[str]) -> None:
        """Raise `ForeignMachine`, before the password is sent, if another lease has pinned this host key."""
        if key is not None and key.line in others:
            raise _make_error(lease)


def _make_error(lease: Lease) -> ForeignMachine:
    return ForeignMachine(
        _("the new machine {ref} at {provider} rejects the password of this order").format(
            ref=lease.ref, provider=lease.provider
        ),
        hint=_(
            "It may be somebody else's, so it is neither used nor shut down. Look at the provider's page. If it is"
            " not yours: gpurent release {lease} --confirmed"
        ).format(lease=lease.id),
        burning=(lease.id,),
    )
