"""The page where the sandbox's user buys credit, in place of the service's payment by card."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from gpurent_plugin_vast.simulator.accounts import VastAccount
from gpurent_plugin_vast.simulator.amounts import make_usd, parse_micros
from gpurent_plugin_vast.simulator.state import VastState

PATH = "/sandbox/pay"
METHODS: Mapping[str, tuple[str, ...]] = {
    PATH: ("GET", "POST"),
    PATH + "/{account}/{amount}": ("GET",),
    PATH + "/{account}/{amount}/settle": ("POST",),
}
"""The methods of each of its paths."""
MIN_CREDIT, MAX_CREDIT = 1_000_000, 10_000_000_000


async def serve_pay_page(state: VastState, request: Request) -> Response:
    """Show the page; a POST pays. Account (e-mail address or id) and amount (USD): in the path, else in the form.

    A payment of less than 1 or more than 10,000 USD is refused.
    """
    fields: Mapping[str, object] = request.path_params
    if request.method == "POST" and not request.path_params:
        fields = dict(await request.form())
    account = state.find_account(str(fields.get("account", "")))
    if not fields:
        return HTMLResponse(_render_page(_render_form()))
    if account is None:
        return HTMLResponse(_render_page("<p>No such account</p>" + _render_form()), 404)
    micros = parse_micros(fields.get("amount"))
    if micros is None or not MIN_CREDIT <= micros <= MAX_CREDIT:
        return HTMLResponse(_render_page("<p>Invalid amount</p>" + _render_form(account.email)), 400)
    if request.method == "POST":
        state.add_credit(account, micros)
        return HTMLResponse(_render_page(_render_credit(account, state)))
    action = f"{PATH}/{account.id}/{make_usd(micros)}/settle"
    button = f'<form method="post" action="{action}"><button>Pay {make_usd(micros)} USD</button></form>'
    return HTMLResponse(_render_page(_render_credit(account, state) + button))


def _render_page(body: str) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Add credit - vast.ai simulator</title>'
        f"</head><body><h1>Add credit</h1>{body}</body></html>"
    )


def _render_form(email: str = "") -> str:
    return (
        f'<form method="post" action="{PATH}"><input name="account" value="{escape(email, quote=True)}" '
        'placeholder="E-mail"><input name="amount" placeholder="USD"><button>Pay</button></form>'
    )


def _render_credit(account: VastAccount, state: VastState) -> str:
    credit = make_usd(account.compute_credit(state.at))
    return f'<p>{escape(account.email)}: <span id="credit">{credit}</span> USD</p>'
