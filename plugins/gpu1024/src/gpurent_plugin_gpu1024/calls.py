"""Every call of the web API that gpurent makes, and the deeds that it only does with a mailed code.

POST with the parameters in the query, an empty body, no credentials.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from attrs import frozen

from gpurent.api import Challenge, LeaseError, PaidTooLate, Payment, PluginContext, SoldOut, Spent
from gpurent_plugin_gpu1024 import _, wire

TRIES = 3
# The mail's date has whole seconds, and its clock is another one.
SLACK = timedelta(minutes=2)


@frozen(kw_only=True)
class Deed:
    """One thing to do with a code: ``name`` is the code's parameter in ``act``, ``target`` what both calls name."""

    what: str
    ask: str
    act: str
    name: str
    target: str = "order_id"
    burns: bool = False


STOP = Deed(what="stop", ask="/rent/get_stop_code", act="/rent/stop", name="stop_code", burns=True)
CANCEL = Deed(what="cancel", ask="/rent/get_cancer_code", act="/rent/cancer_order", name="cancer_code")
RECLAIM = Deed(
    what="reclaim", ask="/rent/get_return_dbc_code", act="/rent/request_return_dbc", name="return_code"
)
RECLAIM_RENEWAL = Deed(
    what="reclaim",
    ask="/rent_continue/continue_pay_return_dbc_code",
    act="/rent_continue/continue_pay_return_dbc",
    name="return_code",
    target="continue_pay_order_id",
)


class Calls:
    """The service as one wallet sees it."""

    def __init__(self, host: PluginContext) -> None:
        self._host = host

    async def wallet(self) -> str:
        return (await self._host.login()).account

    async def call(self, path: str, spent: Spent = Spent.NO, **params: str) -> wire.Reply:
        """One call; the envelope comes back whatever its status is. ``spent`` goes into trouble on the way."""
        settings = self._host.settings
        common = {"user_name_platform": settings["brand"], "language": settings["language"]}
        answer = await self._host.http.request("POST", path, params={**params, **common})
        return wire.reply(answer, spent)

    async def must(self, path: str, **params: str) -> wire.Reply:
        """One call that is done at once; a no is a `LeaseError` with the service's own words."""
        found = await self.call(path, Spent.NO, **params)
        if found.status == wire.FAILED:
            text = found.msg or _("no reason given")
            if any(word in text for word in ("已被租用", "已被占用", "rented", "no free")):
                raise SoldOut(
                    f"1024GPU: {text}", hint=_("Nothing was spent. Pick another machine: gpurent offers")
                )
            raise LeaseError(
                _("1024GPU refuses: {why}").format(why=text), hint=_("Nothing was spent by this.")
            )
        if found.status != wire.DONE:
            raise found.changed(_("it is still working on what takes no work"))
        return found

    async def orders(self) -> Sequence[wire.Standing]:
        """All orders of the wallet: GPU, CPU, stopped."""
        wallet = await self.wallet()
        found: dict[str, wire.Standing] = {}
        for path in ("/rent/get_all_order", "/rent/get_all_order_cpu", "/rent/get_all_order_be_stopped"):
            for standing in wire.standings(await self.must(path, wallet_address_user=wallet)):
                found[standing.id] = standing
        return list(found.values())

    async def order(self, order_id: str) -> wire.Standing | None:
        return next((standing for standing in await self.orders() if standing.id == order_id), None)

    async def paid(self, path: str, payment: Payment, **params: str) -> bool:
        """Whether the shop has seen the payment; one that it refuses is a `PaidTooLate`."""
        found = await self.call(path, Spent.YES, dbc_hash=payment.proof, **params)
        if found.status == wire.FAILED:
            raise PaidTooLate(
                _("1024GPU does not accept the payment of {amount}: {why}").format(
                    amount=payment.amount, why=found.msg or _("no reason given")
                ),
                hint=_("It can be reclaimed with a mailed code: giving the lease back does that."),
                spent=Spent.YES,
            )
        return found.status == wire.DONE

    async def do(self, deed: Deed, ref: str, lease: str, settled: Callable[[], Awaitable[bool]]) -> None:
        """Have a code mailed, read it, hand it in; a wrong one is asked for again.

        Each call may be lost, so ``settled`` asks the shop before it is redone.
        """
        what = {"stop": _("stop"), "cancel": _("cancel")}.get(deed.what) or _("reclaim")
        why = ""
        tried: list[str] = []
        for _try in range(TRIES):
            since = self._host.clock.now() - SLACK
            await self.must(deed.ask, **{deed.target: ref})
            # A code that was refused is not tried again, though its mail is still there.
            refused = f"(?!(?:{'|'.join(tried)})$)" if tried else ""
            code = await self._host.ask(
                Challenge(
                    key=f"{ref}-{deed.what}-{len(tried)}",
                    question=_("1024GPU: the code to {what} order {ref}, from its mail").format(
                        what=what, ref=ref
                    ),
                    pattern=rf"(?:验证码[：:]\s*)?{refused}(\d{{4,8}})",
                    sender=self._host.settings["mail_sender"],
                    subject=ref,
                    since=since,
                )
            )
            found = await self.call(deed.act, Spent.YES, **{deed.target: ref, deed.name: code})
            if found.status == wire.DONE or await settled():
                return
            why = found.msg
            tried.append(code)
        raise LeaseError(
            _("1024GPU does not take the code to {what} order {ref}: {why}").format(
                what=what, ref=ref, why=why or _("no reason given")
            ),
            hint=_hint(deed),
            spent=Spent.YES if deed.burns else Spent.UNKNOWN,
            burning=(lease,) if deed.burns else (),
            retryable=True,
        )


def _hint(deed: Deed) -> str:
    if deed.burns:
        return _("The container still runs on prepaid time. Try again: gpurent release")
    if deed.what == "cancel":
        return _("Nothing was paid for it; unpaid it is dropped by itself after some minutes.")
    return _("The payment is still with 1024GPU. Try again: gpurent release")
