"""The page where the sandbox's user tops up, in place of the service's payment by WeChat or Alipay."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from gpurent_plugin_autodl.simulator.state import AutodlState

PATH = "/sandbox/pay"
METHODS = {PATH + "/{account}/{amount}": "GET", PATH + "/{account}/{amount}/settle": "POST"}
"""The method of each of its paths."""
MOST = 10_000_000


async def serve_pay_page(state: AutodlState, request: Request) -> Response:
    """Show the page; a POST pays ``amount`` CNY. A payment of more than 10,000 CNY, or of nothing, is refused."""
    account = state.find_account(str(request.path_params["account"]))
    match = re.fullmatch(r"([0-9]{1,6})(?:\.([0-9]{1,3}))?", str(request.path_params["amount"]), re.ASCII)
    if account is None:
        return HTMLResponse("<p>No such account</p>", 404)
    amount = int(match[1]) * 1000 + int((match[2] or "").ljust(3, "0")) if match is not None else 0
    if not 0 < amount <= MOST:
        return HTMLResponse("<p>Invalid amount</p>", 400)
    if request.method == "POST":
        state.pay_in(account, amount)
    text = f'<p>账户 {account.uid} 余额 <span id="assets">{account.compute_assets(state.at)}</span> 厘</p>'
    return HTMLResponse(f'<!doctype html><html lang="zh"><body><h1>充值</h1>{text}</body></html>')
