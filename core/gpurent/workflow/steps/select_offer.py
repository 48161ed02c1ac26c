"""Step: select the machine."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from attrs import frozen

from gpurent.domain.evidence import Unknown
from gpurent.domain.offer import Offer, Requirements
from gpurent.domain.trip import TripSpec
from gpurent.domain.wishes import describe_unstated
from gpurent.errors import SoldOut, UnavailableError
from gpurent.locale import _, join_list, ngettext
from gpurent.ports.store import LeaseStore
from gpurent.ports.system import ProviderClocks
from gpurent.workflow.reports.offers import OfferListing, is_long_enough
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.trip_chain import list_earlier_trips

HOST_MEMORY = timedelta(days=1)


@frozen
class SelectOfferStep:
    """Selects the cheapest free offer that matches, but not where a machine failed to start lately."""

    listing: OfferListing
    leases: LeaseStore
    clocks: ProviderClocks

    async def select_offer(self, trip: TripContext, spec: TripSpec) -> Offer:
        """Run `select_offer_now` once per trip."""

        async def select() -> Offer:
            lost = {*await trip.list_lost_offers(), *await self._list_taken_before(trip)}
            return await self.select_offer_now(spec, lost)

        return await trip.step("select-offer", Offer, select)

    async def select_offer_now(self, spec: TripSpec, lost: Collection[str] = ()) -> Offer:
        """Return the best offer of ``spec.provider``, except those whose keys are in ``lost``.

        Raises `SoldOut` if none matches, `UnavailableError` if the provider returns no offers, `UsageError` if the user
        has no such volume there.
        """
        await self.listing.volumes.find_wanted(spec.provider, spec.requirements)
        found = await self.listing.list_fitting_offers(spec.provider, spec.requirements)
        if isinstance(found, Unknown):
            raise UnavailableError(
                _("{provider} returned no offers: {reason}").format(
                    provider=spec.provider, reason=found.reason
                ),
                retryable=True,
            )
        avoided = set() if spec.requirements.machine else await self._list_failed_hosts(spec.provider)
        known = [item for item in found.items if item.key not in lost and _name_host(item) not in avoided]
        fitting = [item for item in known if is_long_enough(item, spec.limits.term)]
        staged = await self._list_staged_machines(spec.provider)
        # A machine on which another trip stages is needed by that trip; it is only the last choice.
        offer = min(fitting, key=lambda item: item.key in staged, default=None)
        if offer is None:
            raise SoldOut(
                _("no free machine at {provider} matches: {wish}").format(
                    provider=spec.provider, wish=_format_requirements(spec.requirements)
                ),
                hint="\n".join(
                    [
                        *describe_unstated(found.unstated),
                        *_describe_elsewhere(found.elsewhere, found.volume_place),
                        *_describe_avoided(sum(_name_host(item) in avoided for item in found.items)),
                        _("See all offers: gpurent offers --all"),
                    ]
                ),
            )
        return offer

    async def _list_taken_before(self, trip: TripContext) -> set[str]:
        """Return the machines that somebody else took from the trips that this one goes on with."""
        found = set()
        for earlier in await list_earlier_trips(trip.store, trip.id):
            if earlier.outcome is None or earlier.outcome.reason != SoldOut.code:
                continue
            lease = await self.leases.find_lease(earlier.lease)
            if lease is not None:
                found.add(lease.offer.key)
        return found

    async def _list_failed_hosts(self, provider: str) -> set[str]:
        """Return the hosts on which a machine did not start lately; the user may still name such a machine."""
        now = self.clocks.clock_of(provider).now()
        return {
            _name_host(lease.offer)
            for lease in await self.leases.list_leases()
            if lease.provider == provider
            and lease.start_failed_at is not None
            and now - lease.start_failed_at < HOST_MEMORY
        }

    async def _list_staged_machines(self, provider: str) -> set[str]:
        """Return the machines on which our trips upload before they switch to the GPU, by `Offer.key`."""
        return {
            lease.offer.key
            for lease in await self.leases.list_open_leases()
            if lease.provider == provider and not lease.offer.hardware.gpus
        }


def _name_host(offer: Offer) -> str:
    """Return what stands for the computer: the provider's name of it, or else that of the machine."""
    return f"host {offer.host}" if offer.host else f"machine {offer.key}"


def _describe_elsewhere(count: int, place: str) -> list[str]:
    if not count:
        return []
    text = ngettext(
        "{count} machine is left out, since it is elsewhere: only machines in {place} can mount the volume",
        "{count} machines are left out, since they are elsewhere: only machines in {place} can mount the volume",
        count,
    )
    return [text.format(count=count, place=place)]


def _describe_avoided(count: int) -> list[str]:
    if not count:
        return []
    text = ngettext(
        "{count} machine is left out, since one on the same computer did not start lately; --machine takes it",
        "{count} machines are left out, since one on the same computer did not start lately; --machine takes them",
        count,
    )
    return [text.format(count=count)]


def _format_requirements(wanted: Requirements) -> str:
    parts = (
        wanted.machine,
        "CPU" if wanted.cpu_only else wanted.gpu,
        f"x{wanted.gpus}" if wanted.gpus > 1 else "",
        _("{size} GiB per GPU").format(size=wanted.gpu_memory) if wanted.gpu_memory else "",
        ngettext("{count} core", "{count} cores", wanted.cpus).format(count=wanted.cpus)
        if wanted.cpus
        else "",
        _("{size} GiB of memory").format(size=wanted.memory) if wanted.memory else "",
        _("{size} GiB of disk").format(size=wanted.disk) if wanted.disk else "",
        _("in {regions}").format(regions=join_list(wanted.regions)) if wanted.regions else "",
        f"CUDA {wanted.cuda}" if wanted.cuda else "",
        _("reliability {percent} %").format(percent=wanted.min_reliability)
        if wanted.min_reliability is not None
        else "",
        _("at most {price}").format(price=wanted.max_price) if wanted.max_price else "",
        _("traffic at {price}").format(price=wanted.max_traffic_price) if wanted.max_traffic_price else "",
        "spot" if wanted.spot else "",
        _("with the volume {name}").format(name=wanted.volume) if wanted.volume else "",
    )
    return " ".join(part for part in parts if part) or _("any machine")
