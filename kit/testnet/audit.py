"""The engine's invariants, checked from scratch: the ledger, the holds, the books and the indexes."""

from __future__ import annotations

from kit.testnet.ladder import Ladder, queue
from kit.testnet.ledger import Account
from kit.testnet.market import Market, Order
from kit.testnet.venue import Venue


def audit(venue: Venue) -> list[str]:
    """Return what is wrong with the engine's state, one sentence each; empty when all holds.

    Walks every balance and every resting order: for tests and for a look now and then, not for every order.
    """
    found = [f"{asset} is out of balance by {units} units" for asset, units in venue.check_ledger().items() if units]
    holds: dict[tuple[Account, str], int] = {}
    for market in venue.markets.values():
        found += _audit_book(market)
        for ladder in (market.bids, market.asks):
            found += _audit_ladder(market, ladder, holds)
    for account in venue.accounts.values():
        found += _audit_account(account, holds)
    return found


def _audit_book(market: Market) -> list[str]:
    found = []
    bid, ask = market.bids.best, market.asks.best
    if bid is not None and ask is not None and bid.price_ticks >= ask.price_ticks:
        found.append(f"the book of {market.symbol} is crossed: bid {bid.price_ticks}, ask {ask.price_ticks}")
    listed = {number: order for index in market.indexes() for number, order in index.open.items()}
    found += [f"{order} is listed as open but does not rest" for order in listed.values() if not order.is_working]
    if listed != market.orders:
        found.append(f"the open orders of {market.symbol} are not those of its accounts together")
    return found


def _audit_ladder(market: Market, ladder: Ladder[Order], holds: dict[tuple[Account, str], int]) -> list[str]:
    found = []
    last_key: int | None = None
    for level in ladder.levels():
        where = f"level {level.price_ticks} of {market.symbol}"
        orders = list(queue(level))
        if last_key is not None and level.key >= last_key:
            found.append(f"{where} is out of order")
        last_key = level.key
        if level.lots != sum(order.open_lots for order in orders) or level.count != len(orders) or level.lots <= 0:
            found.append(f"{where} says {level.lots} lots in {level.count} orders, which is not what stands there")
        for order in orders:
            key = (order.account, order.hold_asset)
            holds[key] = holds.get(key, 0) + order.held_units
            if order.open_lots != order.qty_lots - order.executed_lots or order.price_ticks != level.price_ticks:
                found.append(f"{order} at {where} does not add up")
            if order.account.has_stream and order.order_id not in market.index(order.account).open:
                found.append(f"{order} rests but is not among its account's open orders")
    return found


def _audit_account(account: Account, holds: dict[tuple[Account, str], int]) -> list[str]:
    found = []
    for asset in {*account.free, *account.locked}:
        locked, held = account.locked.get(asset, 0), holds.get((account, asset), 0)
        if locked != held:
            found.append(f"{account} has {locked} units of {asset} locked, its open orders hold {held}")
        if not account.unlimited and (account.free.get(asset, 0) < 0 or locked < 0):
            found.append(f"{account} has a negative balance of {asset}")
    return sorted(found)
