"""Giving back: cancel what is unpaid, stop what runs, reclaim what was paid too late. Each with a mailed code."""

from __future__ import annotations

from attrs import evolve

from gpurent.api import Host, Lease, LeaseError, LeaseState, Pending, Spent
from gpurent_plugin_gpu1024.calls import Calls
from gpurent_plugin_gpu1024.mailing import code_challenge
from gpurent_plugin_gpu1024.wire import DONE, Standing

TRIES = 3


class Leaving:
    """Looks how an order stands, then takes the one way out that fits. Called again, it goes on."""

    def __init__(self, host: Host, calls: Calls) -> None:
        self._host, self._calls = host, calls

    async def leave(self, lease: Lease) -> Lease:
        if lease.pending is not None:
            lease = await self._drop_pending(lease, lease.pending)
        if not lease.ref:
            return lease if lease.over else lease.to(LeaseState.CANCELLED, "cancelled before it was paid")
        standing = await self._calls.order(lease.ref)
        if standing is None:
            return evolve(lease.to(LeaseState.GONE, "the shop does not list it any more"), endpoint=None)
        if not standing.over:
            await self._with_code(
                standing.id, "stop", "/rent/get_stop_code", "/rent/stop", "stop_code", lease
            )
            standing = await self._calls.order(lease.ref)
        if standing is None or not standing.over:
            return lease.to(LeaseState.RELEASING, "the shop is stopping it")
        state = LeaseState.RELEASED if standing.ended_well else LeaseState.EXPIRED
        note = "given back" if standing.ended_well else "the rented time ran out"
        return evolve(
            lease.to(state, note), endpoint=None, ended_at=standing.stopped_at or standing.expires_at
        )

    async def _drop_pending(self, lease: Lease, pending: Pending) -> Lease:
        """The order that was not finished: cancelled, or its late payment sent back."""
        standing = await self._calls.order(pending.ref) if pending.ref else None
        if standing is not None and standing.rented:
            # Paid after all: it is the lease now.
            return evolve(lease, pending=None, ref=standing.id)
        if standing is not None and standing.pay_error and not standing.returned:
            await self._with_code(
                standing.id,
                "reclaim",
                "/rent/get_return_dbc_code",
                "/rent/request_return_dbc",
                "return_code",
                lease,
            )
        elif standing is not None and not standing.cancelled and not standing.returned and not standing.over:
            await self._with_code(
                standing.id, "cancel", "/rent/get_cancer_code", "/rent/cancer_order", "cancer_code", lease
            )
        return evolve(lease, pending=None)

    async def _with_code(self, order_id: str, what: str, ask: str, act: str, name: str, lease: Lease) -> None:
        """Have a code mailed, read it, hand it in; a wrong one is asked for again."""
        why = ""
        for _try in range(TRIES):
            since = self._host.clock.now()
            await self._calls.must(ask, order_id=order_id)
            code = await self._host.ask(code_challenge(self._host, order_id, what, since))
            found = await self._calls.act(act, {"order_id": order_id, name: code}, Spent.YES)
            if found.status == DONE:
                return
            why = found.msg
            if self._settled(await self._calls.order(order_id)):
                return
        raise LeaseError(
            f"1024GPU does not take the code to {what} order {order_id}: {why or 'no reason given'}",
            hint="The container still runs on prepaid time. Try again: gpurent release",
            spent=Spent.YES,
            burning=(lease.id,),
            retryable=True,
        )

    def _settled(self, standing: Standing | None) -> bool:
        return standing is None or standing.over or standing.cancelled or standing.returned
