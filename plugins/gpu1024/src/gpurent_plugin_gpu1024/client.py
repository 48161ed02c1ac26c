"""All web API calls that the plugin makes to 1024GPU, and the actions that need an e-mailed code.

POST with the parameters in the query string, an empty body, no credentials.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from attrs import frozen

from gpurent.api import (
    Challenge,
    LeaseError,
    MoneyError,
    PaidTooLate,
    Payment,
    PluginContext,
    SoldOut,
    Spent,
    begin_request,
    quote_reason,
)
from gpurent_plugin_gpu1024 import _, wire

MAX_TRIES = 3
# An e-mail's date has whole seconds, and comes from another clock.
CLOCK_TOLERANCE = timedelta(minutes=2)
# Where the payment for more time is verified.
RENEWAL_PATH = "/rent_continue/continue_pay_voc_pay"
# The reason in the reply to a payment that came after the payment window; the English words are assumed.
TOO_LATE_PATTERN = re.compile("超时|time ?out|too late|expired", re.IGNORECASE)


@frozen(kw_only=True)
class MailCodeAction:
    """An action that needs an e-mailed code.

    ``code_param`` is the code's parameter for ``submit_path``; ``order_param`` is the order's parameter for both calls.
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
    # The provider's spelling of "cancel".
    request_path="/rent/get_cancer_code",
    submit_path="/rent/cancer_order",
    code_param="cancer_code",
)
REFUND = MailCodeAction(
    kind="refund",
    request_path="/rent/get_return_dbc_code",
    submit_path="/rent/request_return_dbc",
    code_param="return_code",
)
REFUND_RENEWAL = MailCodeAction(
    kind="refund",
    request_path="/rent_continue/continue_pay_return_dbc_code",
    submit_path="/rent_continue/continue_pay_return_dbc",
    code_param="return_code",
    order_param="continue_pay_order_id",
)


class Gpu1024Client:
    """The web API for one wallet."""

    def __init__(self, context: PluginContext) -> None:
        self._context = context

    async def get_wallet_address(self) -> str:
        return (await self._context.get_login()).account

    async def call(self, path: str, spent: Spent = Spent.NO, **params: str) -> wire.ApiReply:
        """Send one request and return the reply, whatever its status.

        ``spent`` is what errors of the request itself report.
        """
        settings = self._context.settings
        common = {"user_name_platform": settings["brand"], "language": settings["language"]}
        answer = await self._context.http.request("POST", path, params={**params, **common})
        return wire.parse_reply(answer, spent)

    async def call_checked(self, path: str, **params: str) -> wire.ApiReply:
        """Send a request that completes at once.

        Raises `LeaseError` with the provider's own message if it is rejected; `SoldOut` if the machine was taken.
        """
        found = await self.call(path, Spent.NO, **params)
        if found.status == wire.FAILED:
            text = quote_reason(found.msg)
            if any(word in text for word in ("已被租用", "已被占用", "rented", "no free")):
                raise SoldOut(f"1024GPU: {text}", hint=_("Pick another machine: gpurent offers"))
            raise LeaseError(_("1024GPU rejected the request: {why}").format(why=text))
        if found.status != wire.DONE:
            raise found.make_unexpected_response(
                _("an operation that should finish at once is still in progress")
            )
        return found

    async def list_orders(self) -> Sequence[wire.ListedOrder]:
        """Return all orders of the wallet: GPU, CPU, stopped."""
        wallet = await self.get_wallet_address()
        found: dict[str, wire.ListedOrder] = {}
        for path in ("/rent/get_all_order", "/rent/get_all_order_cpu", "/rent/get_all_order_be_stopped"):
            for listed_order in wire.parse_orders(await self.call_checked(path, wallet_address_user=wallet)):
                found[listed_order.id] = listed_order
        return list(found.values())

    async def find_order(self, order_id: str) -> wire.ListedOrder | None:
        return next(
            (listed_order for listed_order in await self.list_orders() if listed_order.id == order_id), None
        )

    async def verify_payment(self, path: str, payment: Payment, lease_id: str, **params: str) -> bool:
        """Return whether the provider has seen the payment for an order of the lease.

        Raises `PaidTooLate` if it came after the payment window, `MoneyError` if it is rejected for another reason.
        """
        found = await self.call(path, Spent.YES, dbc_hash=payment.proof, **params)
        if found.status == wire.FAILED:
            error = PaidTooLate if TOO_LATE_PATTERN.search(found.msg) else MoneyError
            raise error(
                _("1024GPU rejected the payment of {amount}: {why}").format(
                    amount=payment.amount, why=quote_reason(found.msg)
                ),
                hint=_make_refund_hint(path, lease_id),
                spent=Spent.YES,
            )
        return found.status == wire.DONE

    async def perform_action(
        self, action: MailCodeAction, ref: str, lease_id: str, is_settled: Callable[[], Awaitable[bool]]
    ) -> None:
        """Request a code by e-mail, read it and submit it; if it is rejected, request another one.

        Any response may be lost, so ``is_settled`` asks the provider before a retry.
        """
        what = {"stop": _("stop"), "cancel": _("cancellation")}.get(action.kind) or _("refund")
        why = ""
        tried: list[str] = []
        for _try in range(MAX_TRIES):
            find_time = begin_request(self._context.clock)
            await self.call_checked(action.request_path, **{action.order_param: ref})
            since = find_time() - CLOCK_TOLERANCE
            # A rejected code is not tried again, though its e-mail is still in the mailbox.
            not_rejected = f"(?!(?:{'|'.join(tried)})$)" if tried else ""
            code = await self._context.answer_challenge(
                Challenge(
                    key=f"{ref}-{action.kind}-{len(tried)}",
                    question=_("1024GPU: e-mailed code for the {what} of order {ref}").format(
                        what=what, ref=ref
                    ),
                    pattern=rf"(?:验证码[：:]\s*)?{not_rejected}(\d{{4,8}})",
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
            _("1024GPU rejected the code for the {what} of order {ref}: {why}").format(
                what=what, ref=ref, why=quote_reason(why)
            ),
            hint=_make_hint(action, lease_id),
            spent=Spent.YES if action.is_burning else Spent.UNKNOWN,
            burning=(lease_id,) if action.is_burning else (),
            retryable=True,
        )


def _make_refund_hint(path: str, lease_id: str) -> str:
    if path == RENEWAL_PATH:
        return _(
            "The machine runs on until the end that was paid for before. 1024GPU returns the payment when the lease is"
            " released, then or now: gpurent release {lease}"
        ).format(lease=lease_id)
    return _("To get the payment back, for which 1024GPU e-mails a code: gpurent release {lease}").format(
        lease=lease_id
    )


def _make_hint(action: MailCodeAction, lease_id: str) -> str:
    if action.is_burning:
        return _("The container still runs on prepaid time. Try again: gpurent release {lease}").format(
            lease=lease_id
        )
    if action.kind == "cancel":
        return _("The order is unpaid; 1024GPU cancels unpaid orders after a few minutes.")
    return _("1024GPU still holds the payment. Try again: gpurent release {lease}").format(lease=lease_id)
