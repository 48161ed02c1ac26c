"""Warns, once per limit, when an account's balance will not last long for the volumes that cost money there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from attrs import frozen

from gpurent.domain.events import EventKind
from gpurent.domain.time_left import TimeLeft, drains_balance
from gpurent.domain.volume import Volume
from gpurent.locale import _
from gpurent.locale.durations import format_duration
from gpurent.ports.store import LeaseStore
from gpurent.ports.system import Clock
from gpurent.ports.watch_store import ThresholdStore
from gpurent.workflow.guard.warnings import catch_failure
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.volumes import VolumeTracker
from gpurent.workflow.timing.time_left import passed_thresholds, time_left_data
from gpurent.workflow.timing.time_reader import TimeLeftReader

INTERVAL = timedelta(hours=1)
# Volumes cost little by the hour, so that there is time; a machine on the same account has its own warnings.
THRESHOLDS = (timedelta(days=3), timedelta(days=1))


@frozen
class VolumeWatch:
    volumes: VolumeTracker
    leases: LeaseStore
    times: TimeLeftReader
    store: ThresholdStore
    events: EventEmitter
    clock: Clock

    async def check_forever(self) -> None:
        """Check whenever it is due, until cancelled."""
        while True:
            await self.check()
            await self.clock.sleep(INTERVAL)

    async def check(self) -> None:
        """Check the account of each provider at which volumes cost money, but no machine does. Never raises."""
        ours = [
            volume
            for volume in await self.volumes.list_volumes()
            if not self.volumes.is_of_other_account(volume)
        ]
        busy = {lease.provider for lease in await self.leases.list_open_leases() if drains_balance(lease)}
        for provider in dict.fromkeys(volume.provider for volume in ours):
            if provider not in busy:
                here = [volume for volume in ours if volume.provider == provider]
                trouble = await catch_failure(self._check_account(provider, here))
                if trouble:
                    self.events.emit(EventKind.WARNING, f"{provider}: {trouble}")

    async def _check_account(self, provider: str, volumes: Sequence[Volume]) -> None:
        figure = await self.times.get_account_time_left(provider)
        if figure.left is None:
            return
        passed = passed_thresholds(figure.left, THRESHOLDS)
        if await self.store.swap_passed_thresholds(f"volumes/{provider}", passed):
            text = _format_warning(provider, volumes, figure)
            self.events.emit(
                EventKind.TIME_LOW,
                text,
                trip="",
                lease="",
                step="",
                provider=provider,
                **time_left_data(figure),
            )


def _format_warning(provider: str, volumes: Sequence[Volume], figure: TimeLeft) -> str:
    return _(
        "{provider}: the balance lasts {span} for what your volumes cost ({names}); then the provider may delete them."
        " Add money: gpurent topup {provider} 10"
    ).format(
        provider=provider,
        names=", ".join(volume.name for volume in volumes),
        span=format_duration(max(figure.left or timedelta(), timedelta())),
    )
