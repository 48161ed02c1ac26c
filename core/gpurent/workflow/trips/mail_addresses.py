"""The user's command that binds an e-mail address to an account, or another one in place of it."""

from __future__ import annotations

from attrs import frozen

from gpurent.domain.outcomes import TripOutcome
from gpurent.domain.trip import TripSpec
from gpurent.errors import GpurentError, InputRequired, UsageError
from gpurent.locale import _
from gpurent.roles.lease import SupportsMailBinding
from gpurent.workflow.payments.bookkeeping import Bookkeeping
from gpurent.workflow.runtime.durable_steps import TripTracker
from gpurent.workflow.runtime.plugins import Plugins
from gpurent.workflow.runtime.unforeseen import to_gpurent_error
from gpurent.workflow.steps.bind_mail import BindMailStep


@frozen
class MailAddresses:
    trip_tracker: TripTracker
    plugins: Plugins
    bind_mail: BindMailStep
    bookkeeping: Bookkeeping

    async def get_bound_email(self, provider: str) -> str:
        """Return the bound address, empty if there is none. Raises `UsageError` if the provider needs none."""
        binder = self.plugins.provider(provider)
        if not isinstance(binder, SupportsMailBinding):
            raise UsageError(_("{provider} needs no e-mail address").format(provider=provider))
        return await binder.get_bound_email()

    async def set_address(self, provider: str, email: str) -> str:
        """Bind ``email`` and pay what that costs, as a trip of its own; return the bound address.

        The same command again goes on after a failure: what was paid for the address is not paid again.
        """
        trip = await self.trip_tracker.begin_trip("bind-mail", TripSpec(provider=provider))
        async with self.trip_tracker.lock_trip(trip.id):
            try:
                await self.bind_mail.set_address(trip, provider, email)
                bound = await self.get_bound_email(provider)
            except Exception as raised:  # noqa: BLE001 - whatever it is, the trip ends: the command is typed again
                await trip.require_lock()
                error = to_gpurent_error(raised)
                _name_command(error, provider, email)
                await self.trip_tracker.end_trip(trip.id, TripOutcome.from_error(error))
                raise error from error.__cause__
            await self.bookkeeping.sync_account(provider)
            await self.trip_tracker.end_trip(trip.id)
        return bound


def _name_command(error: GpurentError, provider: str, email: str) -> None:
    """Let the hint name the command to type again, as this trip is over."""
    if error.retryable:
        text = _("Try again: gpurent email {provider} {email}")
        if isinstance(error, InputRequired):
            text = _("Try again, with your yes: gpurent -y email {provider} {email}")
        error.hint = text.format(provider=provider, email=email)
