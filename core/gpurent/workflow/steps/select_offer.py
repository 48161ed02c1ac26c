"""Step: select the machine."""

from __future__ import annotations

from attrs import frozen

from gpurent.domain.offer import Offer, Requirements, Unknown
from gpurent.domain.trip import TripSpec
from gpurent.errors import SoldOut, UnavailableError
from gpurent.locale import _
from gpurent.workflow.reports.offers import OfferListing, is_long_enough
from gpurent.workflow.runtime.durable_steps import TripContext


@frozen
class SelectOfferStep:
    """The cheapest free offer that fits."""

    listing: OfferListing

    async def select_offer(self, trip: TripContext, spec: TripSpec) -> Offer:
        """`select_offer_now`, once for the trip."""
        return await trip.step("select", Offer, lambda: self.select_offer_now(spec))

    async def select_offer_now(self, spec: TripSpec) -> Offer:
        """The offer of ``spec.provider``; `SoldOut` when none fits, `UnavailableError` when it lists none."""
        found = await self.listing.list_fitting_offers(spec.provider, spec.requirements)
        if isinstance(found, Unknown):
            raise UnavailableError(
                _("{provider} shows no machines: {reason}").format(
                    provider=spec.provider, reason=found.reason
                ),
                retryable=True,
            )
        offer = next((item for item in found.items if is_long_enough(item, spec.limits.term)), None)
        if offer is None:
            raise SoldOut(
                _("nothing free at {provider} fits {wish}").format(
                    provider=spec.provider, wish=_format_requirements(spec.requirements)
                ),
                hint=_("Nothing was spent. See what there is: gpurent offers --all"),
            )
        return offer


def _format_requirements(wanted: Requirements) -> str:
    parts = (
        wanted.machine,
        "CPU" if wanted.cpu_only else wanted.gpu,
        f"x{wanted.gpus}" if wanted.gpus > 1 else "",
        _("{size} GiB a GPU").format(size=wanted.gpu_memory) if wanted.gpu_memory else "",
        _("{count} cores").format(count=wanted.cpus) if wanted.cpus else "",
        _("{size} GiB of memory").format(size=wanted.memory) if wanted.memory else "",
    )
    return " ".join(part for part in parts if part) or _("any machine")
