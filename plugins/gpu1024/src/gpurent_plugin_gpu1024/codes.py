"""What 1024GPU only does with a mailed code: have it mailed, read it, hand it in; a wrong one is asked for again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from attrs import frozen

from gpurent.api import Challenge, LeaseError, PluginContext, Spent
from gpurent_plugin_gpu1024.calls import Calls
from gpurent_plugin_gpu1024.messages import _
from gpurent_plugin_gpu1024.wire import DONE

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


class Codes:
    """Does deeds; each call may be lost, so ``settled`` asks the shop before it is redone."""

    def __init__(self, host: PluginContext, calls: Calls) -> None:
        self._host, self._calls = host, calls

    async def do(self, deed: Deed, ref: str, lease: str, settled: Callable[[], Awaitable[bool]]) -> None:
        why = ""
        tried: list[str] = []
        for _try in range(TRIES):
            since = self._host.clock.now() - SLACK
            await self._calls.must(deed.ask, **{deed.target: ref})
            code = await self._host.ask(self._challenge(deed, ref, since, tried))
            found = await self._calls.act(deed.act, {deed.target: ref, deed.name: code}, Spent.YES)
            if found.status == DONE or await settled():
                return
            why = found.msg
            tried.append(code)
        raise LeaseError(
            _("1024GPU does not take the code to {what} order {ref}: {why}").format(
                what=_verb(deed), ref=ref, why=why or _("no reason given")
            ),
            hint=_hint(deed),
            spent=Spent.YES if deed.burns else Spent.UNKNOWN,
            burning=(lease,) if deed.burns else (),
            retryable=True,
        )

    def _challenge(self, deed: Deed, ref: str, since: datetime, tried: list[str]) -> Challenge:
        # A code that was refused is not tried again, though its mail is still there.
        refused = f"(?!(?:{'|'.join(tried)})$)" if tried else ""
        return Challenge(
            key=f"{ref}-{deed.what}-{len(tried)}",
            question=_("1024GPU: the code to {what} order {ref}, from its mail").format(
                what=_verb(deed), ref=ref
            ),
            pattern=rf"(?:验证码[：:]\s*)?{refused}(\d{{4,8}})",
            sender=self._host.settings["mail_sender"],
            subject=ref,
            since=since,
        )


def _verb(deed: Deed) -> str:
    return {"stop": _("stop"), "cancel": _("cancel")}.get(deed.what) or _("reclaim")


def _hint(deed: Deed) -> str:
    if deed.burns:
        return _("The container still runs on prepaid time. Try again: gpurent release")
    if deed.what == "cancel":
        return _("Nothing was paid for it; unpaid it is dropped by itself after some minutes.")
    return _("The payment is still with 1024GPU. Try again: gpurent release")
