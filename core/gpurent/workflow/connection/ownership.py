"""Proves that a machine is ours before anything is done to it, where the provider takes no key or label of ours."""

from __future__ import annotations

from attrs import evolve, frozen

from gpurent.domain.access import Endpoint
from gpurent.domain.lease import Lease
from gpurent.errors import AuthError, ForeignMachine, HostKeyChanged, UnavailableError
from gpurent.locale import _
from gpurent.ports.connection import Connector, OpenConnection
from gpurent.ports.services import SecretStore
from gpurent.workflow.runtime.leases import LeaseTracker
from gpurent.workflow.runtime.unforeseen import add_hint


def suggest_password(provider: str, endpoint: Endpoint) -> str:
    text = _('If you know its password: gpurent adopt "{endpoint}" --provider {provider}')
    return text.format(endpoint=endpoint, provider=provider)


@frozen
class OwnershipProof:
    """The proof is a login with the password that was made for this lease's order alone."""

    leases: LeaseTracker
    connector: Connector
    secrets: SecretStore

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
        connection = await self.open_connection(lease, lease.endpoint)
        await connection.close()
        return await self.leases.get_lease(lease.id)

    async def open_connection(self, lease: Lease, endpoint: Endpoint) -> OpenConnection:
        """Connect to the lease's machine; one that needs a proof is proven by it. Raises `ForeignMachine`."""
        if not lease.needs_proof:
            password = self.secrets.get_vault(lease.provider).get(lease.password_ref)
            try:
                return await self.connector.open_connection(lease.id, endpoint, password)
            except AuthError as error:
                add_hint(error, suggest_password(lease.provider, endpoint))
                raise
        connection = await self._log_in(lease, endpoint)
        await self.leases.update_lease(lease.id, lambda seen: evolve(seen, needs_proof=False))
        return connection

    async def try_password(self, lease: Lease) -> bool:
        """Return whether the machine at the lease's address accepts this lease's own password; saves nothing.

        False as well if there is no address or no password. Raises `UnavailableError` while it cannot be asked.
        """
        if lease.endpoint is None or self.secrets.get_vault(lease.provider).get(lease.password_ref) is None:
            return False
        try:
            connection = await self._log_in(lease, lease.endpoint)
        except (ForeignMachine, HostKeyChanged):
            return False
        await connection.close()
        return True

    async def _log_in(self, lease: Lease, endpoint: Endpoint) -> OpenConnection:
        await self._reject_known_machine(lease, endpoint)
        password = self.secrets.get_vault(lease.provider).get(lease.password_ref)
        try:
            return await self.connector.open_connection(lease.id, endpoint, password)
        except AuthError:
            raise self._make_error(lease) from None

    async def _reject_known_machine(self, lease: Lease, endpoint: Endpoint) -> None:
        """Raise `ForeignMachine`, before the password is sent, if another living lease there has pinned this host key.

        Only of one provider: machines made from one image may share their key, wherever they are rented.
        """
        others = {
            pinned[0]
            for other in await self.leases.list_leases()
            if other.id != lease.id and other.provider == lease.provider and other.endpoint is not None
            if (pinned := self.connector.find_pinned_host_key(other.id, other.endpoint)) is not None
        }
        if not others:
            return
        await self.connector.pin_host_key(lease.id, endpoint)
        shown = self.connector.find_pinned_host_key(lease.id, endpoint)
        if shown is not None and shown[0] in others:
            raise self._make_error(lease)

    def _make_error(self, lease: Lease) -> ForeignMachine:
        self.connector.delete_host_key(lease.id)
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
