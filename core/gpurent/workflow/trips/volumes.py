"""The user's commands on volumes: create, delete, and make one of ours that was created elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from attrs import evolve, frozen

from gpurent.domain.evidence import Absent, Unknown
from gpurent.domain.provider_names import make_id_prefix
from gpurent.domain.question import Question, QuestionKind
from gpurent.domain.receipt import Receipt
from gpurent.domain.volume import NAME_PATTERN, Volume, VolumeLabel, VolumeOffer, VolumeState
from gpurent.domain.volume_evidence import apply_absence
from gpurent.errors import LeaseError, Spent, UnavailableError, UnexpectedResponse, UsageError
from gpurent.locale import _, join_clauses, join_list
from gpurent.ports.lease_copies import LeaseCopies
from gpurent.ports.store import LeaseStore
from gpurent.workflow.payments.budgets import Budgets
from gpurent.workflow.payments.volume_budget import check_volume_budget
from gpurent.workflow.reports.receipts import Receipts
from gpurent.workflow.runtime.durable_steps import make_random_mark
from gpurent.workflow.runtime.locks import WorkLocks
from gpurent.workflow.runtime.logins import Logins
from gpurent.workflow.runtime.questions import Questions
from gpurent.workflow.runtime.restore_checks import RestoreChecks
from gpurent.workflow.runtime.volumes import VolumeTracker
from gpurent.workflow.runtime.waiting import Poller
from gpurent.workflow.trips.volume_places import describe_price, select_place

POLL_INTERVAL, POLL_TIMEOUT = timedelta(seconds=10), timedelta(minutes=10)


@frozen
class VolumeCommands:
    """Each command can be typed again after any failure: what was begun is in the Store, and found by its label."""

    volumes: VolumeTracker
    leases: LeaseStore
    logins: Logins
    copies: LeaseCopies
    questions: Questions
    locks: WorkLocks
    poller: Poller
    receipts: Receipts
    budgets: Budgets
    checks: RestoreChecks

    async def create_volume(self, provider: str, name: str, size: int, region: str) -> Volume:
        """Create a volume once the user has agreed to its price, and return it; the same again if it exists.

        Raises `UsageError` if ``region`` names no single place, `BudgetExceeded` if the rest of the month would exceed
        a monthly budget, `Declined` or `ConfirmationRequired` if nobody agrees.
        """
        _check_name(name)
        self.volumes.get_role(provider)
        entry = self.volumes.plugins.provider_entry(provider)
        await self.logins.ensure_login(entry.auth)
        await self.checks.require_checked(provider)
        async with self.locks.lock_lease(_name_lock(provider, name)):
            known = await self.volumes.find_volume(name, provider)
            if known is not None and known.provider != provider:
                known = None
            if known is None:
                known = await self._begin_volume(provider, name, size, region)
            elif size not in (0, known.size):
                text = _("{name} at {provider} exists already, with {size} GB in {place}")
                raise UsageError(
                    text.format(name=name, provider=provider, size=known.size, place=known.place)
                )
            if known.state is VolumeState.REQUESTED:
                known = await self._finish_create(known)
        return known

    async def _begin_volume(self, provider: str, name: str, size: int, region: str) -> Volume:
        """Record the volume that is going to be created, once the user has agreed to its price."""
        offer = select_place(await self._list_offers(provider), region, size, provider)
        label = VolumeLabel.make(self.copies.get_installation(), name, make_random_mark())
        volume = Volume(
            id=label.id,
            provider=provider,
            name=name,
            label=str(label),
            account=self.logins.find_account(provider),
            place=offer.place,
            size=size,
            state=VolumeState.REQUESTED,
            price=evolve(offer.price, value=offer.price.value * size) if offer.price.is_known else None,
            provider_data=offer.provider_data,
        )
        await check_volume_budget(self.budgets, volume)
        await self._confirm_create(volume)
        if await self.volumes.store.add_volume(volume) is not None:
            raise UsageError(_("you have a volume {name} at {provider}").format(name=name, provider=provider))
        return volume

    async def _list_offers(self, provider: str) -> Sequence[VolumeOffer]:
        found = await self.volumes.get_role(provider).list_volume_offers()
        if isinstance(found, Unknown):
            text = _("{provider} returned no places for volumes: {reason}")
            raise UnavailableError(text.format(provider=provider, reason=found.reason), retryable=True)
        return found.items

    async def _confirm_create(self, volume: Volume) -> None:
        details = (
            _("{size} GB in {place} at {provider}: {price}").format(
                size=volume.size,
                place=volume.place,
                provider=volume.provider,
                price=describe_price(volume.price),
            ),
            _("It costs that until you delete it, whether a machine uses it or not."),
        )
        question = Question(
            id=f"create-volume:{volume.provider}/{volume.name}",
            kind=QuestionKind.SPEND,
            text=_("Create the volume {name}?").format(name=volume.name),
            details=details,
        )
        await self.questions.require_yes(question, join_clauses([_("no volume was created"), details[0]]))

    async def _finish_create(self, volume: Volume) -> Volume:
        """Ask the provider until it is known whether the volume exists. That it is asked is on disk before the call."""
        role = self.volumes.get_role(volume.provider)

        async def ask() -> Volume | None:
            nonlocal volume
            given = volume
            sent_at = volume.sent_at or self.volumes.get_time(volume)
            volume = await self.volumes.update_volume(volume, lambda known: evolve(known, sent_at=sent_at))
            try:
                made = await role.create_volume(evolve(volume, sent_at=given.sent_at))
            except LeaseError as error:
                if error.spent is Spent.NO:
                    await self._drop(volume)
                raise
            except (UnavailableError, UnexpectedResponse) as error:
                error.spent = Spent.UNKNOWN
                error.hint = _make_again_hint(volume)
                raise
            volume = await self.volumes.update_volume(volume, lambda known: _take(known, made))
            return volume if volume.state is not VolumeState.REQUESTED else None

        made = await self.poller.poll(ask, interval=POLL_INTERVAL, timeout=POLL_TIMEOUT)
        if made is None:
            text = _("{provider} does not show whether it created {name}")
            raise UnavailableError(
                text.format(provider=volume.provider, name=volume.name),
                hint=_make_again_hint(volume),
                retryable=True,
                spent=Spent.UNKNOWN,
            )
        return made

    async def _drop(self, volume: Volume) -> None:
        """Note that the provider refused the volume by name: there is none."""
        now = self.volumes.get_time(volume)
        await self.volumes.update_volume(
            volume,
            lambda known: evolve(known, state=VolumeState.DELETED, deleted_at=now, books_closed_at=now),
        )

    async def delete_volume(self, name: str, provider: str = "") -> Receipt:
        """Delete the volume once the user has agreed, and return what it has cost; what is gone stays gone.

        ``name`` may be the provider's reference. Raises `LeaseError` while a machine of ours mounts it.
        """
        volume = await self.volumes.find_volume(name, provider) or await self._adopt_listed(name, provider)
        if self.volumes.is_of_other_account(volume):
            text = _("the volume {name} belongs to the account {account} of {provider}")
            raise UsageError(
                text.format(name=name, account=volume.account, provider=volume.provider),
                hint=_("Log in as {account}: gpurent login {provider}").format(
                    account=volume.account, provider=volume.provider
                ),
            )
        await self._require_unused(volume)
        if volume.delete_requested_at is None:
            await self._confirm_delete(volume)
        async with self.locks.lock_lease(_name_lock(volume.provider, volume.name)):
            await self._require_unused(volume)
            volume = await self._finish_delete(volume)
        return await self.receipts.get_volume_receipt(volume)

    async def _require_unused(self, volume: Volume) -> None:
        leases = [lease.id for lease in await self.leases.list_open_leases() if lease.volume == volume.id]
        if leases:
            raise LeaseError(
                _("the volume {name} is used by {leases}").format(name=volume.name, leases=join_list(leases)),
                hint=_("Release it first: gpurent release {lease}").format(lease=leases[0]),
                spent=Spent.NO,
            )

    async def _confirm_delete(self, volume: Volume) -> None:
        details = [
            _("{name}: {size} GB in {place} at {provider}, {price}").format(
                name=volume.name,
                size=volume.size,
                place=volume.place,
                provider=volume.provider,
                price=describe_price(volume.price),
            )
        ]
        label = VolumeLabel.parse(volume.label)
        if label is None or not any(map(label.is_of, self.copies.list_installations())):
            details.append(
                _("It was not created from here, and may belong to another computer on this account.")
            )
        question = Question(
            id=f"delete-volume:{volume.id}",
            kind=QuestionKind.DESTROY,
            text=_("Delete the volume {name}? Every file on it is lost.").format(name=volume.name),
            details=tuple(details),
        )
        await self.questions.require_yes(question, join_clauses([_("nothing was deleted"), *details]))

    async def _finish_delete(self, volume: Volume) -> Volume:
        """Ask the provider until the volume is gone. That it is asked is on disk before the call."""
        role = self.volumes.get_role(volume.provider)

        async def ask() -> Volume | None:
            nonlocal volume
            now = self.volumes.get_time(volume)
            volume = await self.volumes.update_volume(volume, lambda known: _mark_requested(known, now))
            answer = await role.delete_volume(volume)
            if isinstance(answer, Absent):
                volume = await self.volumes.update_volume(volume, lambda known: apply_absence(known, now))
            else:
                volume = await self.volumes.update_volume(volume, lambda known: _take(known, answer))
            return volume if volume.is_over else None

        ended = await self.poller.poll(ask, interval=POLL_INTERVAL, timeout=POLL_TIMEOUT)
        if ended is None:
            raise UnavailableError(
                _("{provider} has not deleted {name} yet").format(provider=volume.provider, name=volume.name),
                hint=_("Type it again: gpurent volume delete {name}").format(name=volume.name),
                retryable=True,
                spent=Spent.YES,
            )
        return ended

    async def adopt_volume(self, ref: str, provider: str = "", name: str = "") -> Volume:
        """Make one of ours of a volume that the provider lists, called ``name``, or as its label says.

        Raises `UsageError` if there is none, if it has no usable name, or if the name is taken.
        """
        return await self.volumes.find_volume(ref, provider) or await self._adopt_listed(ref, provider, name)

    async def _adopt_listed(self, ref: str, provider: str, name: str = "") -> Volume:
        listed = await self._find_listed(ref, provider)
        label = VolumeLabel.parse(listed.label)
        called = name or (label.name if label else listed.label.lower())
        if re.fullmatch(NAME_PATTERN, called) is None:
            called = _make_name(listed.ref)
        _check_name(called)
        made = VolumeLabel.make(self.copies.get_installation(), called, make_random_mark())
        known = {volume.id: volume for volume in await self.volumes.store.list_volumes()}
        former = known.get(label.id) if label is not None else None
        volume = evolve(
            listed,
            id=label.id if label is not None else made.id,
            name=called,
            account=self.logins.find_account(listed.provider),
            # What it had cost before, if the provider does not say since when, is not ours to count.
            created_at=listed.created_at or self.volumes.get_time(listed),
        )
        place = (volume.provider, volume.name)
        is_taken = any(place == (one.provider, one.name) and not one.is_over for one in known.values())
        if former is not None and not is_taken:
            revived = evolve(volume, created_at=former.created_at or volume.created_at)
            return await self.volumes.update_volume(former, lambda _known: revived)
        if is_taken or await self.volumes.store.add_volume(volume) is not None:
            raise UsageError(
                _("you have a volume {name} at {provider}").format(name=called, provider=listed.provider),
                hint=_("Give it another name: gpurent volume adopt {ref} --name NAME").format(ref=listed.ref),
            )
        return volume

    async def _find_listed(self, ref: str, provider: str) -> Volume:
        """Return the volume with this reference or name of its provider, of all accounts that can be asked."""
        found: list[Volume] = []
        reasons: list[str] = []
        for name in [provider] if provider else self.list_providers():
            listed = await self.volumes.list_at_provider(name)
            if isinstance(listed, Unknown):
                reasons.append(f"{name}: {listed.reason}")
            else:
                found += [volume for volume in listed.items if ref in (volume.ref, volume.label)]
        if len(found) == 1:
            return found[0]
        if found:
            refs = join_list(f"{volume.provider} {volume.ref}" for volume in found)
            raise UsageError(_("{name} is ambiguous: {many}").format(name=ref, many=refs))
        raise UsageError(
            _("there is no volume {name}").format(name=ref),
            hint="\n".join([_("See: gpurent volume list"), *reasons]),
        )

    def list_providers(self) -> list[str]:
        """Return the providers that the user is logged in to."""
        return [name for name, _account in self.logins.list_logins()]


def _mark_requested(known: Volume, now: datetime) -> Volume:
    """Return the volume as it is recorded before the first call that deletes it; unchanged if it is already."""
    if known.delete_requested_at is not None:
        return known
    return evolve(known, delete_requested_at=now, absent_since=None)


def _take(known: Volume, answer: Volume) -> Volume:
    """Return ``known`` with what the provider's answer says of it."""
    return evolve(
        known,
        ref=answer.ref,
        state=answer.state,
        size=answer.size,
        place=answer.place,
        price=answer.price,
        users=answer.users,
        created_at=answer.created_at or known.created_at,
        deleted_at=answer.deleted_at,
        provider_data=answer.provider_data,
        absent_since=None,
    )


def _check_name(name: str) -> None:
    if re.fullmatch(NAME_PATTERN, name) is None:
        raise UsageError(
            _("invalid name of a volume: {name}").format(name=name),
            hint=_("Use at most 24 lower-case letters, digits and hyphens."),
        )


def _make_name(ref: str) -> str:
    """Return a name for a volume without a usable one."""
    return re.sub(r"[^a-z0-9]", "", ref.lower())[:24] or "volume"


def _name_lock(provider: str, name: str) -> str:
    return f"vol-{make_id_prefix(provider)}-{name}"


def _make_again_hint(volume: Volume) -> str:
    text = _(
        "It may exist and cost money. Type it again: gpurent volume create {name} --provider {provider} --size {size}"
    )
    return text.format(name=volume.name, provider=volume.provider, size=volume.size)
