"""Every call of the web API that gpurent makes, and the deeds that it only does with a mailed code.

POST with the parameters in the query, an empty body, no credentials.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from attrs import frozen

from gpurent.api import Challenge, LeaseError, PaidTooLate, Payment, PluginContext, SoldOut, Spent
from gpurent_plugin_gpu1024 import _, wire

MAX_TRIES = 3
# The mail's date has whole seconds, and its clock is another one.
CLOCK_TOLERANCE = timedelta(minutes=2)


@frozen(kw_only=True)
class MailCodeAction:
    """One thing to do with a code.

    ``code_param`` is the code's parameter in ``submit_path``, ``order_param`` what both calls name.
    """

    kind: str
    request_path: str
    submit_path: str
    code_param: str
    order_param: str = "order_id"
    is_burning: bool = False


STOP = MailCodeAction(
    kind="stop",
    request_path="/rent/get_stop_code",
    submit_path="/rent/stop",
    code_param="stop_code",
    is_burning=True,
)
CANCEL = MailCodeAction(
    kind="cancel",
    request_path="/rent/get_cancer_code",
    submit_path="/rent/cancer_order",
    code_param="cancer_code",
)
RECLAIM = MailCodeAction(
    kind="reclaim",
    request_path="/rent/get_return_dbc_code",
    submit_path="/rent/request_return_dbc",
    code_param="return_code",
)
RECLAIM_RENEWAL = MailCodeAction(
    kind="reclaim",
    request_path="/rent_continue/continue_pay_return_dbc_code",
    submit_path="/rent_continue/continue_pay_return_dbc",
    code_param="return_code",
    order_param="continue_pay_order_id",
)


class Gpu1024Client:
    """The service as one wallet sees it."""

    def __init__(self, context: PluginContext) -> None:
        self._context = context

    async def get_wallet_address(self) -> str:
        return (await self._context.get_login()).account

    async def call(self, path: str, spent: Spent = Spent.NO, **params: str) -> wire.ApiReply:
        """One call; the envelope comes back whatever its status is. ``spent`` goes into trouble on the way."""
        settings = self._context.settings
        common = {"user_name_platform": settings["brand"], "language": settings["language"]}
        answer = await self._context.http.request("POST", path, params={**params, **common})
        return wire.parse_reply(answer, spent)

    async def call_checked(self, path: str, **params: str) -> wire.ApiReply:
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
            raise found.make_changed_error(_("it is still working on what takes no work"))
        return found

    async def list_orders(self) -> Sequence[wire.ListedOrder]:
        """All orders of the wallet: GPU, CPU, stopped."""
        wallet = await self.get_wallet_address()
        found: dict[str, wire.ListedOrder] = {}
        for path in ("/rent/get_all_order", "/rent/get_all_order_cpu", "/rent/get_all_order_be_stopped"):
            for standing in wire.parse_orders(await self.call_checked(path, wallet_address_user=wallet)):
                found[standing.id] = standing
        return list(found.values())

    async def find_order(self, order_id: str) -> wire.ListedOrder | None:
        return next((standing for standing in await self.list_orders() if standing.id == order_id), None)

    async def verify_payment(self, path: str, payment: Payment, **params: str) -> bool:
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

    async def perform_action(
        self, action: MailCodeAction, ref: str, lease_id: str, is_settled: Callable[[], Awaitable[bool]]
    ) -> None:
        """Have a code mailed, read it, hand it in; a wrong one is asked for again.

        Each call may be lost, so ``is_settled`` asks the shop before it is redone.
        """
        what = {"stop": _("stop"), "cancel": _("cancel")}.get(action.kind) or _("reclaim")
        why = ""
        tried: list[str] = []
        for _try in range(MAX_TRIES):
            since = self._context.clock.now() - CLOCK_TOLERANCE
            await self.call_checked(action.request_path, **{action.order_param: ref})
            # A code that was refused is not tried again, though its mail is still there.
            refused = f"(?!(?:{'|'.join(tried)})$)" if tried else ""
            code = await self._context.answer_challenge(
                Challenge(
                    key=f"{ref}-{action.kind}-{len(tried)}",
                    question=_("1024GPU: the code to {what} order {ref}, from its mail").format(
                        what=what, ref=ref
                    ),
                    pattern=rf"(?:验证码[：:]\s*)?{refused}(\d{{4,8}})",
                    sender=self._context.settings["mail_sender"],
                    subject=ref,
                    since=since,
                )
            )
            found = await self.call(
                action.submit_path, Spent.YES, **{action.order_param: ref, action.code_param: code}
            )
            if found.status == wire.DONE or await is_settled():
                return
            why = found.msg
            tried.append(code)
        raise LeaseError(
            _("1024GPU does not take the code to {what} order {ref}: {why}").format(
                what=what, ref=ref, why=why or _("no reason given")
            ),
            hint=_make_hint(action),
            spent=Spent.YES if action.is_burning else Spent.UNKNOWN,
            burning=(lease_id,) if action.is_burning else (),
            retryable=True,
        )


def _make_hint(action: MailCodeAction) -> str:
    if action.is_burning:
        return _("The container still runs on prepaid time. Try again: gpurent release")
    if action.kind == "cancel":
        return _("Nothing was paid for it; unpaid it is dropped by itself after some minutes.")
    return _("The payment is still with 1024GPU. Try again: gpurent release")
