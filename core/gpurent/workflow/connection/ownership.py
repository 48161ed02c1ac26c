"""Proves that a machine is ours before anything is done to it, where the provider takes no key or label of ours."""

from __future__ import annotations

from attrs import evolve, frozen

from gpurent.domain.access import Endpoint
from gpurent.domain.elimination import LOOK_INTERVAL, is_only_candidate
from gpurent.domain.evidence import Unknown
from gpurent.domain.lease import Lease
from gpurent.errors import AuthError, ForeignMachine, UnavailableError
from gpurent.locale import _
from gpurent.ports.connection import Connector, OpenConnection
from gpurent.workflow.connection.contact_questions import make_request
from gpurent.workflow.connection.contacts import MachineContacts, PasswordProof
from gpurent.workflow.runtime.leases import LeaseTracker
from gpurent.workflow.runtime.unforeseen import add_hint


def suggest_password(provider: str, endpoint: Endpoint) -> str:
    text = _('If you know its password: gpurent adopt "{endpoint}" --provider {provider}')
    return text.format(endpoint=endpoint, provider=provider)


def suggest_release(lease: Lease) -> str:
    """Return what ends the lease's machine where no proof of ours does: the user names it."""
    text = _(
        "Look at the provider's page. If {ref} is yours: gpurent orphans --release {ref} --provider {provider}\n"
        "If it is not: gpurent release {lease} --confirmed"
    )
    return text.format(ref=lease.ref, provider=lease.provider, lease=lease.id)


@frozen
class OwnershipProof:
    """Proves that a machine which was recognised by elimination is ours.

    One proof is a login with the password that was made for this lease's order alone, where the rule for contacts lets
    it be sent unasked; nothing is pinned by it. The other, for a release only, is that the order's accepted create must
    have made this machine (see `gpurent.domain.elimination`): no address is contacted for it, and none is verified.
    """

    leases: LeaseTracker
    connector: Connector
    contacts: MachineContacts

    async def prove_for_release(self, lease: Lease) -> Lease:
        """Return the lease, proven enough to be released; at once if it needs no proof.

        Raises `ForeignMachine` if that cannot be proven, and `UnavailableError` while it is not known.
        """
        if not lease.needs_proof:
            return lease
        was_alone = lease.claim is not None and lease.claim.alone_since is not None
        unreachable: UnavailableError | None = None
        answer = PasswordProof.NOT_ASKED
        if lease.endpoint is None:
            text = _("{lease} has no address yet, so it cannot be checked that it is ours")
            unreachable = UnavailableError(text.format(lease=lease.id), retryable=True, burning=(lease.id,))
        elif not was_alone:
            try:
                answer = await self.try_password(lease)
            except UnavailableError as error:
                unreachable = error
        if answer is PasswordProof.ACCEPTED:
            return await self.leases.update_lease(lease.id, lambda seen: evolve(seen, needs_proof=False))
        if await self.prove_by_elimination(lease):
            return await self.leases.get_lease(lease.id)
        if unreachable is not None:
            raise unreachable
        raise _make_error(lease, answer)

    async def prove_by_elimination(self, lease: Lease) -> bool:
        """Return whether the lease's accepted create must have made its machine; ``lease`` need not be saved like that.

        Raises `UnavailableError` while that is not known, also after the first of two looks.
        """
        claim = lease.claim
        if claim is None or not claim.is_accepted or not lease.ref:
            return False
        listed = await self.leases.plugins.provider_of(lease).list_leases()
        if isinstance(listed, Unknown):
            raise UnavailableError(listed.reason, retryable=True, burning=(lease.id,))
        others = [
            other
            for other in await self.leases.list_leases(include_over=True)
            if other.id != lease.id and other.provider == lease.provider
        ]
        now = self.leases.get_time(lease)
        is_alone = is_only_candidate(lease, listed.items, others)
        since = (claim.alone_since or now) if is_alone else None
        await self.leases.update_lease(
            lease.id, lambda seen: evolve(seen, claim=evolve(seen.claim or claim, alone_since=since))
        )
        if since is not None and now - since < LOOK_INTERVAL:
            text = _("{ref} at {provider} is the only new machine of its order; the list is looked at again")
            raise UnavailableError(
                text.format(ref=lease.ref, provider=lease.provider), retryable=True, burning=(lease.id,)
            )
        return is_alone

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
            pinned = self.connector.find_pinned_host_key(lease.id, endpoint)
            if pinned is not None and pinned.line in await self._list_others_keys(lease):
                raise _make_error(lease)  # before the password is sent
            connection = await self.contacts.open_connection(lease, request)
        except (AuthError, ForeignMachine):
            self.connector.unpin_host_key(lease.id, endpoint)
            raise _make_error(lease) from None
        await self.leases.update_lease(lease.id, lambda seen: evolve(seen, needs_proof=False))
        return connection

    async def try_password(self, lease: Lease) -> PasswordProof:
        """Say whether the machine at the lease's address accepts this lease's own password; saves nothing about it.

        Raises `UnavailableError` while it cannot be asked.
        """
        if lease.endpoint is None:
            return PasswordProof.NOT_ASKED
        request = evolve(make_request(lease, lease.endpoint), may_ask=False)
        return await self.contacts.try_password(lease, request, await self._list_others_keys(lease))

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


def _make_error(lease: Lease, answer: PasswordProof = PasswordProof.REJECTED) -> ForeignMachine:
    text = _("the new machine {ref} at {provider} rejects the password of this order")
    if answer is PasswordProof.NOT_ASKED:
        text = _("nothing proves that the new machine {ref} at {provider} is that of {lease}")
    return ForeignMachine(
        text.format(ref=lease.ref, provider=lease.provider, lease=lease.id),
        hint=_("It may be somebody else's, so it is neither used nor shut down.")
        + f"\n{suggest_release(lease)}",
        burning=(lease.id,),
    )
