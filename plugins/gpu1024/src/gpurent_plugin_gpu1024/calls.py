"""Every call of the web API that gpurent makes.

POST with the parameters in the query, an empty body, no credentials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gpurent.api import LeaseError, MoneyError, PaidTooLate, Payment, PluginContext, SoldOut, Spent
from gpurent_plugin_gpu1024 import wire
from gpurent_plugin_gpu1024.messages import _
from gpurent_plugin_gpu1024.wire import DONE, FAILED, Reply, Standing


class Calls:
    """The service as one wallet sees it."""

    def __init__(self, host: PluginContext) -> None:
        self._host = host

    async def wallet(self) -> str:
        return (await self._host.login()).account

    async def call(self, path: str, **params: str) -> Reply:
        """One call; the envelope comes back whatever its status is."""
        return await self.act(path, params, Spent.NO)

    async def act(self, path: str, params: Mapping[str, str], spent: Spent) -> Reply:
        """One call that may cost something: trouble on the way says so."""
        settings = self._host.settings
        common = {"user_name_platform": settings["brand"], "language": settings["language"]}
        answer = await self._host.http.request("POST", path, params={**params, **common})
        return wire.reply(answer, spent)

    async def must(self, path: str, **params: str) -> Reply:
        """One call that is done at once; a no is a `LeaseError` with the service's own words."""
        found = await self.call(path, **params)
        if found.status == FAILED:
            raise _no(found)
        if found.status != DONE:
            raise found.changed(_("it is still working on what takes no work"))
        return found

    async def orders(self) -> Sequence[Standing]:
        """All orders of the wallet: GPU, CPU, stopped."""
        wallet = await self.wallet()
        found: dict[str, Standing] = {}
        for path in ("/rent/get_all_order", "/rent/get_all_order_cpu", "/rent/get_all_order_be_stopped"):
            for standing in wire.standings(await self.must(path, wallet_address_user=wallet)):
                found[standing.id] = standing
        return list(found.values())

    async def order(self, order_id: str) -> Standing | None:
        return next((standing for standing in await self.orders() if standing.id == order_id), None)


def too_late(msg: str, payment: Payment) -> MoneyError:
    """The shop refuses what was paid."""
    return PaidTooLate(
        _("1024GPU does not accept the payment of {amount}: {why}").format(
            amount=payment.amount, why=msg or _("no reason given")
        ),
        hint=_("It can be reclaimed with a mailed code: giving the lease back does that."),
        spent=Spent.YES,
    )


def _no(found: Reply) -> LeaseError:
    text = found.msg or _("no reason given")
    if any(word in text for word in ("已被租用", "已被占用", "rented", "no free")):
        return SoldOut(f"1024GPU: {text}", hint=_("Nothing was spent. Pick another machine: gpurent offers"))
    return LeaseError(_("1024GPU refuses: {why}").format(why=text), hint=_("Nothing was spent by this."))
