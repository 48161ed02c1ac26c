"""The user's commands on machines that the Store does not know: take one over, or release it."""

from __future__ import annotations

from attrs import evolve, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.lease_copy import LeaseCopy
from gpurent.domain.orphans import OrphanKind, OrphanMachine
from gpurent.domain.provider_names import make_id_prefix
from gpurent.domain.question import Question, QuestionKind
from gpurent.domain.receipt import Receipt
from gpurent.errors import (
    AuthError,
    ForeignMachine,
    InputRequired,
    LeaseError,
    RemoteError,
    UnavailableError,
    UsageError,
)
from gpurent.locale import _, join_list
from gpurent.ports.services import SecretStore
from gpurent.roles.lease import SupportsPublicKeys
from gpurent.workflow.connection.contacts import PasswordProof
from gpurent.workflow.connection.ownership import OwnershipProof, suggest_password, suggest_release
from gpurent.workflow.reports.orphans import OrphanSearch
from gpurent.workflow.runtime.durable_steps import make_random_mark
from gpurent.workflow.runtime.lost_leases import LostLeases
from gpurent.workflow.runtime.questions import Questions
from gpurent.workflow.trips.release_review import ReleaseReview
from gpurent.workflow.trips.releases import Releases


@frozen
class OrphanCommands:
    search: OrphanSearch
    lost_leases: LostLeases
    proof: OwnershipProof
    secrets: SecretStore
    questions: Questions
    review: ReleaseReview
    releases: Releases

    async def adopt_orphan(self, name: str, provider: str = "", *, is_proven: bool = False) -> Lease:
        """Make a lease of the machine with the provider's reference, or our lease id, ``name``; return it.

        A machine of a lost lease gets its id and, if the vault has it, its password. Raises `UsageError` if no orphan
        has this name, `ForeignMachine` if it may be an order's machine but nothing proves it; ``is_proven``: the user
        said that it is.
        """
        found = await self._find_machine(name, provider)
        if found.orphan.kind is OrphanKind.REVIVED_LEASE:
            return await self._mark_adopted(found.orphan.lease)
        if found.orphan.kind is OrphanKind.FORMER_LEASE and not await self._is_lost(found.orphan.lease):
            await self._mark_adopted(found.orphan.lease)
            return await self.search.leases.try_refresh_lease(found.orphan.lease)
        made = await self._make_lease(found, is_proven=is_proven)
        await self.search.logins.record_account(made.provider)
        await self._mark_adopted(made.id)
        await self._drop_old_access(found, made)
        lets_key_in = await self._set_key(made)
        lease = await self.search.leases.try_refresh_lease(made.id)
        if lease.endpoint is not None and not lets_key_in and not self._has_password(lease):
            text = _(
                "{lease}: its password is not known here; it can be released, but perhaps not logged in to"
            )
            text = f"{text.format(lease=lease.id)}\n{suggest_password(lease.provider, lease.endpoint)}"
            self.search.leases.events.emit(EventKind.WARNING, text, lease=lease.id)
        return lease

    async def _is_lost(self, lease_id: str) -> bool:
        return await self.search.leases.copier.find_lost_lease(lease_id) is not None

    async def _drop_old_access(self, found: OrphanMachine, lease: Lease) -> None:
        """Let the provider state the access again if the machine rejects what is known here: the vault may be older.

        Providers that list the address never sent a password.
        """
        is_listed = found.listed is not None and found.listed.endpoint is not None
        if is_listed or lease.endpoint is None or lease.state is not LeaseState.READY:
            return
        try:
            await (await self.proof.open_connection(lease, lease.endpoint)).close()
            return
        except (AuthError, ForeignMachine):
            pass
        except (RemoteError, UnavailableError, InputRequired):
            return  # which says nothing about the access
        await self.search.leases.update_lease(
            lease.id, lambda seen: evolve(seen.with_state(LeaseState.PROVISIONING), endpoint=None)
        )

    async def _set_key(self, lease: Lease) -> bool:
        """Have the lease's key let into its machine, where machines have no passwords; return whether that is possible.

        The machine was created with another key, or with one that is lost.
        """
        leases = self.search.leases
        provider = leases.plugins.provider_of(lease)
        is_key_only = leases.plugins.provider_entry(lease.provider).key_only
        if not is_key_only or not isinstance(provider, SupportsPublicKeys) or leases.connector is None:
            return False
        key = leases.connector.get_public_key(lease.id)
        await leases.update_lease(lease.id, lambda seen: provider.set_public_key(seen, key))
        return True

    async def _mark_adopted(self, lease_id: str) -> Lease:
        leases = self.search.leases
        return await leases.update_lease(
            lease_id, lambda lease: evolve(lease, adopted_at=leases.get_time(lease))
        )

    async def release_orphan(self, name: str, provider: str = "") -> Receipt:
        """Release the machine ``name`` as `adopt_orphan` finds it, after asking about what would be lost.

        A machine of an open lease that nothing proves to be ours can be named too: the user says that it is. Raises
        `Declined` or `ConfirmationRequired` if nobody agrees.
        """
        unproven = await self._find_unproven(name, provider)
        if unproven is not None:
            await self._confirm_release(unproven.ref, unproven.provider)
            await self._take_as_ours(unproven.id)
            return await self.releases.release_lease(unproven.id)
        found = await self._find_machine(name, provider)
        if not found.orphan.is_ours:
            await self._confirm_release(found.orphan.ref, found.orphan.provider)
        named = found.orphan.ref or found.orphan.lease
        try:
            lease = await self.adopt_orphan(named, found.orphan.provider)
        except ForeignMachine:
            await self._confirm_release(found.orphan.ref, found.orphan.provider)
            lease = await self.adopt_orphan(named, found.orphan.provider, is_proven=True)
        if found.orphan.is_ours:
            await self.review.require_release(lease.id)
        return await self.releases.release_lease(lease.id)

    async def _find_unproven(self, name: str, provider: str) -> Lease | None:
        """Return the open lease whose machine ``name`` is, but is not proven to be."""
        return next(
            (
                lease
                for lease in await self.search.leases.list_leases()
                if lease.needs_proof
                and lease.ref
                and name in (lease.ref, lease.id)
                and provider in ("", lease.provider)
            ),
            None,
        )

    async def _take_as_ours(self, lease_id: str) -> Lease:
        """Save that the user named the lease's machine; which password goes there is decided elsewhere."""
        return await self.search.leases.update_lease(lease_id, lambda lease: evolve(lease, needs_proof=False))

    async def _confirm_release(self, ref: str, provider: str) -> None:
        text = _("{ref} at {provider} is not known here; it may belong to another computer on this account.")
        text = text.format(ref=ref, provider=provider)
        question = Question(
            id=f"release-orphan:{provider}/{ref}",
            kind=QuestionKind.DESTROY,
            text=_("Release it? Everything on it is lost."),
            details=(text,),
        )
        await self.questions.require_yes(question, text)

    async def _find_machine(self, name: str, provider: str) -> OrphanMachine:
        """Return the orphan with this reference or lease id; raises `UsageError` if there is not exactly one."""
        report = await self.search.find_orphans(with_money=False)
        found = [
            machine
            for machine in report.machines
            if name in (machine.orphan.ref, machine.orphan.lease)
            and provider in ("", machine.orphan.provider)
        ]
        if len(found) == 1:
            return found[0]
        if found:
            names = join_list(sorted({machine.orphan.provider for machine in found}))
            raise UsageError(
                _("{name} is ambiguous: {many}").format(name=name, many=names), hint=_("Add --provider.")
            )
        reasons = [orphan.reason for orphan in report.others if orphan.reason]
        raise UsageError(
            _("no unknown machine is called {name}").format(name=name),
            hint="\n".join([_("See: gpurent orphans"), *dict.fromkeys(reasons)]),
        )

    async def _make_lease(self, found: OrphanMachine, *, is_proven: bool) -> Lease:
        copy, listed = found.copy, found.listed
        if copy is None:
            return await self._make_foreign_lease(found)
        if copy.is_declared:
            raise UsageError(
                _("{lease} was rented manually").format(lease=copy.lease),
                hint=f'gpurent adopt "{copy.endpoint}" --provider {copy.provider} --price "{copy.price}"',
            )
        if listed is None or listed.ref in copy.refs or listed.label:
            lease = await self.lost_leases.restore_lease(copy, listed.offer if listed is not None else None)
            return await self._update_from_list(lease, listed)
        if not is_proven:
            await self._prove_order(copy, listed)
        proven = evolve(copy, ref=listed.ref, needs_proof=False, completed_orders=(copy.label,), order=None)
        return await self._update_from_list(
            await self.lost_leases.restore_lease(proven, listed.offer), listed
        )

    async def _prove_order(self, copy: LeaseCopy, listed: Lease) -> None:
        """Raise `ForeignMachine` unless the listed machine accepts the password of the unfinished order in ``copy``."""
        candidate = Lease(
            id=copy.lease,
            provider=copy.provider,
            account=copy.account,
            offer=listed.offer,
            ref=listed.ref,
            endpoint=listed.endpoint,
            access_source=listed.access_source,
            password_ref=copy.password_ref,
            needs_proof=True,
        )
        if await self.proof.try_password(candidate) is not PasswordProof.ACCEPTED:
            raise ForeignMachine(
                _("nothing proves that the new machine {ref} at {provider} is that of {lease}").format(
                    ref=listed.ref, provider=copy.provider, lease=copy.lease
                ),
                hint=suggest_release(candidate),
            )

    async def _update_from_list(self, lease: Lease, listed: Lease | None) -> Lease:
        """Add what the provider's list says about a restored lease."""
        if listed is None:
            return lease
        state = LeaseState.READY if lease.endpoint or listed.endpoint else LeaseState.PROVISIONING
        known = evolve(
            lease.with_state(listed.state if listed.state is not LeaseState.READY else state),
            ref=listed.ref,
            endpoint=listed.endpoint or lease.endpoint,
            access_source=listed.access_source if listed.endpoint else lease.access_source,
            started_at=listed.started_at or lease.started_at,
            expires_at=listed.expires_at or lease.expires_at,
            provider_data={**lease.provider_data, **listed.provider_data},
            last_seen_state=None,
            note="",
        )
        return await self.search.leases.save_lease(known)

    async def _make_foreign_lease(self, found: OrphanMachine) -> Lease:
        listed = found.listed
        if listed is None:
            raise LeaseError(_("the provider does not list {ref}").format(ref=found.orphan.ref))
        # Without an address, the provider is asked for its access as for a new machine.
        state = LeaseState.READY if listed.endpoint is not None else LeaseState.PROVISIONING
        former = await self._find_dropped(listed)
        if former is not None:
            return await self._update_from_list(
                evolve(former.with_state(state), ended_at=None, needs_proof=False), listed
            )
        account = self.search.logins.find_account(listed.provider)
        lease = evolve(
            listed, id=f"{make_id_prefix(listed.provider)}-{make_random_mark()}", state=state, account=account
        )
        return await self.search.leases.save_lease(lease)

    async def _find_dropped(self, listed: Lease) -> Lease | None:
        """Return the lease that had this machine and was dropped unproven: money and limits are that lease's."""
        return next(
            (
                lease
                for lease in reversed(await self.search.leases.list_leases(include_over=True))
                if lease.is_over
                and lease.needs_proof
                and (lease.provider, lease.ref) == (listed.provider, listed.ref)
                and listed.started_at in (None, lease.started_at)
            ),
            None,
        )

    def _has_password(self, lease: Lease) -> bool:
        if not lease.password_ref:
            return False
        return self.secrets.get_vault(lease.provider).get(lease.password_ref) is not None
