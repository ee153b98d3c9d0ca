"""Price-time-priority matching: what happens when an order meets the opposite side of a book.

A match is made at the maker's price, oldest order of the best level first. This module changes books, orders and
balances and notes what happened in the ``Taps``.
"""

from __future__ import annotations

from kit.testnet.ladder import Ladder
from kit.testnet.ledger import Ledger
from kit.testnet.market import Market, Order, Prevention, Trade
from kit.testnet.taps import Taps

ANY_PRICE = -(1 << 62)
"""A limit key below every level's: a market order accepts any price."""


def limit_key(ladder: Ladder[Order], order: Order) -> int:
    """Return the lowest level key of the opposite ``ladder`` that the order accepts."""
    return ladder.sign * order.price_ticks if order.price_ticks else ANY_PRICE


def crosses(market: Market, order: Order) -> bool:
    """Tell whether the order would match at once."""
    ladder = market.asks if order.is_buy else market.bids
    best = ladder.best
    return best is not None and best.key >= limit_key(ladder, order)


def reach(market: Market, order: Order) -> tuple[int, int]:
    """Return the (lots, quote units) that the order would get from the book as it stands, changing nothing.

    Own orders in the way count as the order's self-trade prevention mode says: skipped where they would expire, the
    end where the order itself would.
    """
    ladder = market.asks if order.is_buy else market.bids
    least_key = limit_key(ladder, order)
    factor = market.info.quote_units
    lots = quote = 0
    for level in ladder.levels():
        if level.key < least_key:
            break
        unit = level.price_ticks * factor
        maker = level.head
        while maker is not None:
            own = maker.account is order.account and order.stp_mode != "NONE"
            if own and order.stp_mode != "EXPIRE_MAKER":
                return lots, quote
            if not own:
                wanted = (order.quote_units - quote) // unit if order.quote_units else order.open_lots - lots
                taken = min(wanted, maker.open_lots)
                lots += taken
                quote += taken * unit
                if taken == wanted:
                    return lots, quote
            maker = maker.after
    return lots, quote


class Matcher:
    """Matches orders, settles their trades in the ledger and takes done orders out of the book."""

    def __init__(self, ledger: Ledger, taps: Taps) -> None:
        self._ledger = ledger
        self._taps = taps

    def match(self, order: Order, now_ms: int) -> None:
        """Fill an incoming order from the book as far as it goes; what is left stays in ``open_lots``.

        A market order by quote ends as FILLED when its budget buys no further lot.
        """
        market = order.market
        ladder = market.asks if order.is_buy else market.bids
        least_key = limit_key(ladder, order)
        account = order.account
        guarded = order.stp_mode != "NONE"
        by_quote = order.quote_units
        while True:
            level = ladder.best
            if level is None or level.key < least_key or level.head is None:
                return
            maker = level.head
            if by_quote:
                order.open_lots = (by_quote - order.cum_quote_units) // (level.price_ticks * market.info.quote_units)
                if not order.open_lots:
                    return
            if guarded and maker.account is account:
                self._prevent(maker, order, now_ms)
                if order.status == "EXPIRED_IN_MATCH":
                    return
                continue
            lots = min(order.open_lots, maker.open_lots)
            self._trade(ladder, maker, order, lots, now_ms)
            if order.status == "FILLED":
                return

    def rest(self, order: Order) -> None:
        """Put an order's remainder at the end of its queue."""
        (order.market.bids if order.is_buy else order.market.asks).append(order)

    def lock(self, order: Order) -> None:
        """Hold what the order may have to pay; nothing for market orders and unlimited accounts."""
        if order.account.unlimited or not order.price_ticks:
            return
        info = order.market.info
        order.hold_per_lot = order.price_ticks * info.quote_units if order.is_buy else info.lot_units
        self._ledger.lock(order.account, order.hold_asset, order.open_lots * order.hold_per_lot)

    def release(self, order: Order, lots: int) -> None:
        """Give back what ``lots`` open lots of the order hold."""
        if order.hold_per_lot:
            self._ledger.lock(order.account, order.hold_asset, -lots * order.hold_per_lot)

    def withdraw(self, order: Order) -> None:
        """Take an order out of the book, if it rests, and release its hold; its status is the caller's."""
        if order.standing_in is not None:
            (order.market.bids if order.is_buy else order.market.asks).remove(order)
        self.release(order, order.open_lots)
        order.hold_per_lot = 0

    def _trade(self, ladder: Ladder[Order], maker: Order, taker: Order, lots: int, now_ms: int) -> None:
        market = taker.market
        market.last_trade_id += 1
        trade = Trade(market, market.last_trade_id, maker, taker, lots, now_ms)
        self._settle(trade)
        ladder.take(maker, lots)
        taker.open_lots -= lots
        for order in (maker, taker):
            order.executed_lots += lots
            order.cum_quote_units += trade.quote_units
            order.updated_ms = now_ms
            order.status = "PARTIALLY_FILLED" if order.open_lots else "FILLED"
        if taker.quote_units:
            self._finish_by_quote(taker, ladder)
        market.tape.record(trade)
        taps = self._taps
        taps.traded(trade)
        taps.order_event(maker, "TRADE", trade=trade)
        taps.order_event(taker, "TRADE", trade=trade)
        if not maker.open_lots:
            market.close(maker)

    @staticmethod
    def _finish_by_quote(taker: Order, ladder: Ladder[Order]) -> None:
        """Decide after a fill whether the budget of an order by quote buys another lot at the next price."""
        taker.qty_lots = taker.executed_lots
        best = ladder.best
        rest = taker.quote_units - taker.cum_quote_units
        done = best is not None and rest < best.price_ticks * taker.market.info.quote_units
        taker.status = "FILLED" if done or not rest else "PARTIALLY_FILLED"

    def _settle(self, trade: Trade) -> None:
        buyer, seller = trade.buyer, trade.seller
        if buyer.account is seller.account and buyer.account.unlimited and not (trade.maker_fee or trade.taker_fee):
            return  # the market's own account traded with itself: nothing moves
        info = trade.market.info
        lots = trade.qty_lots
        self.release(buyer, lots)
        self.release(seller, lots)
        move = self._ledger.move
        fees = self._ledger.fees
        move(info.base, lots * info.lot_units, seller.account, buyer.account)
        move(info.quote, trade.quote_units, buyer.account, seller.account)
        for order, fee in ((trade.maker, trade.maker_fee), (trade.taker, trade.taker_fee)):
            if fee:
                move(info.base if order.is_buy else info.quote, fee, order.account, fees)

    def _prevent(self, maker: Order, taker: Order, now_ms: int) -> None:
        """Expire what the taker's mode says instead of matching two orders of one account."""
        market = taker.market
        market.last_prevented_match_id += 1
        mode = taker.stp_mode
        prevention = Prevention(
            market.last_prevented_match_id,
            taker,
            maker,
            mode,
            maker.price_ticks,
            min(taker.open_lots, maker.open_lots),
            taker.open_lots if mode != "EXPIRE_MAKER" else None,
            maker.open_lots if mode != "EXPIRE_TAKER" else None,
            now_ms,
        )
        market.prevented.append(prevention)
        for order, expired in ((maker, prevention.maker_lots), (taker, prevention.taker_lots)):
            order.preventions = [*(order.preventions or ()), prevention]
            if expired is None:
                continue
            order.status = "EXPIRED_IN_MATCH"
            order.updated_ms = now_ms
            self.withdraw(order)
            market.close(order)
            self._taps.order_event(order, "TRADE_PREVENTION", prevention=prevention)
