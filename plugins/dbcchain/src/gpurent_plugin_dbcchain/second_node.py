"""A second node, for what would cost money if the first one lied about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import urlsplit

from gpurent.api import MoneyError, PluginContext, Spent, UnavailableError, UsageError
from gpurent_plugin_dbcchain import _
from gpurent_plugin_dbcchain.chain_client import ChainClient
from gpurent_plugin_dbcchain.purchases import PlacedOrder, Purchase

T = TypeVar("T")
# A node that is further behind answers with prices of another time.
MAX_LAG = 64


class SecondNode:
    """Compares answers of ``first`` with those of the node of the setting ``second_url``, as of one block."""

    def __init__(self, first: ChainClient, second: ChainClient) -> None:
        self._first, self._second = first, second

    async def ask_both(self, what: str, ask: Callable[[ChainClient, str], Awaitable[T]]) -> T:
        """Return what both nodes answer to ``ask(chain, block_hash)``; raises `MoneyError` if they differ."""
        block = await self._find_common_block()
        mine = await ask(self._first, block)
        _require_same(what, mine, await ask(self._second, block))
        return mine

    async def check_chain(self) -> None:
        """Raise `MoneyError` if the nodes are on two chains, or on two runtimes."""
        identities = [await chain.get_identity() for chain in (self._first, self._second)]
        _require_same(_("the chain"), *identities)

    async def check_stake(self, deal: Purchase, placed: PlacedOrder) -> None:
        """Raise `MoneyError` if the second node has other terms for an order; `UnavailableError` if it has none yet."""
        found = await self._second.find_order(deal.pallet, placed.order)
        if found is None:
            raise UnavailableError(_("the second node does not have the order yet"), retryable=True)
        mine = (deal.machine, placed.start, placed.end, placed.stake)
        _require_same(_("the order"), mine, (found.machine, found.start, found.end, found.stake))

    async def _find_common_block(self) -> str:
        """Return the hash of the newest block that is final on both nodes."""
        heights = [(await chain.get_final_block())[0] for chain in (self._first, self._second)]
        if max(heights) - min(heights) > MAX_LAG:
            raise UnavailableError(
                _("one of the two nodes is {blocks} blocks behind").format(
                    blocks=max(heights) - min(heights)
                ),
                hint=_("Nothing was signed. Wait, or set another [dbc-chain] second_url."),
                retryable=True,
                spent=Spent.NO,
            )
        hashes = [await chain.get_block_hash(min(heights)) for chain in (self._first, self._second)]
        _require_same(_("the chain"), *hashes)
        return hashes[0]


def _require_same(what: str, mine: object, theirs: object) -> None:
    if mine != theirs:
        raise MoneyError(
            _("the two nodes contradict each other about {what}").format(what=what),
            hint=_("One of them is wrong or lying; check [dbc-chain] url and second_url."),
            detail=f"{mine} / {theirs}"[:500],
        )


def make_second_node(context: PluginContext, first: ChainClient) -> SecondNode | None:
    """Return the second node; None if none is set. Raises `UsageError` if it is the first one again."""
    url = context.settings.get("second_url", "")
    if not url:
        return None
    if _find_place(url) == _find_place(context.settings.get("url", "")):
        raise UsageError(
            _("[dbc-chain] second_url is the same node as url"),
            hint=_("A node agrees with itself. Set one that somebody else runs, or remove second_url."),
        )
    return SecondNode(first, ChainClient(context.http_for("second_url")))


def _find_place(url: str) -> tuple[str | None, int | None]:
    parts = urlsplit(url)
    return parts.hostname, parts.port
