"""Enters what volumes cost into the ledger, by the provider's statement: under a volume's id, and for no trip."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, frozen

from gpurent.domain.evidence import Known, Unknown, make_unknown
from gpurent.domain.ledger import Transaction, make_missing_transactions
from gpurent.domain.receipt import Charge
from gpurent.domain.volume import Volume
from gpurent.errors import GpurentError
from gpurent.locale import _
from gpurent.roles.volumes import SupportsVolumeCharges
from gpurent.workflow.payments.bookkeeping import LATEST_CHARGE, Bookkeeping
from gpurent.workflow.runtime.volumes import VolumeTracker

VOLUME = "volume"
"""In place of the GPU, where costs are grouped by it."""


@frozen
class VolumeBooks:
    bookkeeping: Bookkeeping
    volumes: VolumeTracker

    async def list_charges(self, volume: Volume) -> Known[Charge] | Unknown:
        """Return what a volume has cost by its account's statement; `Unknown` on any failure."""
        if not volume.ref:
            return Known(())
        if self.volumes.is_of_other_account(volume):
            return Unknown(_("it belongs to the account {account}").format(account=volume.account))
        try:
            billing: object = self.volumes.plugins.billing(volume.provider)
            if not isinstance(billing, SupportsVolumeCharges):
                return Unknown(
                    _("{provider} does not list what volumes cost").format(provider=volume.provider)
                )
            return await billing.list_volume_charges(volume)
        except GpurentError as error:
            return make_unknown(error)
        except Exception as error:  # noqa: BLE001 - one broken plugin must not hide the other costs
            return Unknown(f"{type(error).__name__}: {error}")

    async def find_missing_entries(self, volume: Volume, charges: Sequence[Charge]) -> list[Transaction]:
        """Return the entries that the ledger lacks."""
        known = {line.line_key: line for line in await self.bookkeeping.list_lines(lease=volume.id)}
        account = volume.account or self.volumes.plugins.find_account(volume.provider)
        return [
            entry
            for charge in charges
            for entry in make_missing_transactions(
                charge, volume.provider, known, account=account, lease=volume.id, gpu=VOLUME
            )
        ]

    async def sync_volume(self, volume: Volume) -> str:
        """Enter the charges of a volume; return the reason if that failed."""
        charges = await self.list_charges(volume)
        if isinstance(charges, Unknown):
            return charges.reason
        reason = await self.bookkeeping.enter_transactions(
            await self.find_missing_entries(volume, charges.items)
        )
        now = self.volumes.get_time(volume)
        if not reason and volume.deleted_at is not None and now - volume.deleted_at > LATEST_CHARGE:
            await self.volumes.update_volume(volume, lambda known: evolve(known, books_closed_at=now))
        return reason

    async def sync_all(self) -> dict[str, str]:
        """Enter the charges of all volumes that may have new ones; return the reasons for failures by volume."""
        reasons = {volume.id: await self.sync_volume(volume) for volume in await self.list_unsettled()}
        return {name: reason for name, reason in reasons.items() if reason}

    async def list_unsettled(self, provider: str = "") -> list[Volume]:
        """Return the volumes that may have new charges."""
        return [
            volume
            for volume in await self.volumes.store.list_volumes()
            if volume.books_closed_at is None and provider in ("", volume.provider)
        ]
