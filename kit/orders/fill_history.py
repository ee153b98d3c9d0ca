"""Fetching the account's fills from a moment on, however many pages that takes."""

from __future__ import annotations

from kit.types.orders import TradeUpdate
from kit.types.ports import AccountPort

FILLS_OVERLAP = 60.0
"""Seconds that a fetch reaches back beyond what is needed: clocks differ, and repeated fills cost nothing."""

_PAGE = 50  # No exchange sends shorter pages by default: fewer fills than this are all there are.


async def fetch_all_fills(account: AccountPort, trading_pair: str, since: float) -> list[TradeUpdate]:
    """Return the fills on the pair from ``since`` (seconds) less the overlap, oldest first, each once.

    Raises what ``fetch_fills`` raises.
    """
    since = max(0.0, since - FILLS_OVERLAP)
    fills: dict[str, TradeUpdate] = {}
    while True:
        page = await account.fetch_fills(trading_pair, since)
        known = len(fills)
        fills.update((fill.trade_id, fill) for fill in page)
        if len(page) < _PAGE or len(fills) == known:
            return list(fills.values())
        since = max(fill.timestamp for fill in page)
