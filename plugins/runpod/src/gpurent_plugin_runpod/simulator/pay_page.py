"""The page where the sandbox's user buys credit, in place of the service's payment by card."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from gpurent_plugin_runpod.simulator.state import RunpodState
from gpurent_plugin_runpod.simulator.stock import make_usd

PATH = "/sandbox/pay/{account}/{amount}"
METHODS: Mapping[str, tuple[str, ...]] = {PATH: ("GET",), PATH + "/settle": ("POST",)}
MIN_CREDIT, MAX_CREDIT = 1_000_000, 10_000_000_000


async def serve_pay_page(state: RunpodState, request: Request) -> Response:
    """Show the page; a POST pays. Less than 1 or more than 10,000 USD is refused."""
    account = state.find_account(request.path_params["account"])
    micros = _parse_micros(request.path_params["amount"])
    if account is None:
        return _render("<p>No such account</p>", 404)
    if micros is None or not MIN_CREDIT <= micros <= MAX_CREDIT:
        return _render("<p>Invalid amount</p>", 400)
    form = ""
    if request.method == "POST":
        state.add_credit(account, micros)
    else:
        button = f"<button>Pay {make_usd(micros)} USD</button>"
        form = f'<form method="post" action="{escape(request.url.path, quote=True)}/settle">{button}</form>'
    credit = make_usd(account.balance)
    return _render(f'<p>{escape(account.email)}: <span id="credit">{credit}</span> USD</p>{form}')


def _parse_micros(text: str) -> int | None:
    try:
        found = Decimal(text).scaleb(6)
    except InvalidOperation:
        return None
    return (
        int(found)
        if found.is_finite() and found == found.to_integral_value() and found.adjusted() < 15
        else None
    )


def _render(body: str, status: int = 200) -> HTMLResponse:
    head = '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Credit - RunPod simulator</title>'
    return HTMLResponse(f"{head}</head><body><h1>Credit</h1>{body}</body></html>", status)
