"""The page where the sandbox's user pays money in, in place of Alipay."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from gpurent_plugin_compshare.simulator.amounts import UNITS, make_yuan, parse_units
from gpurent_plugin_compshare.simulator.state import CompShareState

PATH = "/sandbox/pay/{account}/{amount}"
METHODS: Mapping[str, str] = {PATH: "GET", PATH + "/settle": "POST"}
MIN_PAYMENT, MAX_PAYMENT = UNITS, 100_000 * UNITS


async def serve_pay_page(state: CompShareState, request: Request) -> Response:
    """Show the page; a POST pays. A payment of less than 1 or more than 100,000 yuan is refused."""
    account = state.find_account(request.path_params["account"])
    if account is None:
        return HTMLResponse(_render("<p>No such account</p>"), 404)
    units = parse_units(request.path_params["amount"])
    if units is None or not MIN_PAYMENT <= units <= MAX_PAYMENT:
        return HTMLResponse(_render("<p>Invalid amount</p>"), 400)
    form = ""
    if request.method == "POST":
        state.add_money(account, units)
    else:
        action = f"/sandbox/pay/{account.project}/{make_yuan(units)}/settle"
        form = f'<form method="post" action="{action}"><button>{make_yuan(units)} CNY</button></form>'
    balance = make_yuan(account.balance)
    return HTMLResponse(
        _render(f'<p>{escape(account.email)}: <span id="balance">{balance}</span> CNY</p>{form}')
    )


def _render(body: str) -> str:
    return (
        '<!doctype html>\n<html lang="zh"><head><meta charset="utf-8"><title>CompShare simulator</title></head>'
        f"<body><h1>充值</h1>{body}</body></html>"
    )
