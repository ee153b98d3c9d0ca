"""Keep the market account's orders level by level equal to a book given from outside.

This is the engine's side of a replay (``kit.testnet.replay`` states the rules): it knows orders and queues, but neither
files nor time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from kit.errors import InvalidInput
from kit.testnet.symbols import Side, SymbolInfo
from kit.testnet.venue import Account, Market, Order, Trade, Venue


class MarketSide:
    """The market account's orders on one side of the book: a list for each price, oldest first."""

    def __init__(self, venue: Venue, market: Market, account: Account, side: Side) -> None:
        self.is_bids = side == "BUY"
        self.ladder = market.ladder(side)
        self._venue = venue
        self._market = market
        self._account = account
        self._side: Side = side
        self._orders: dict[int, list[Order]] = {}

    def prices(self) -> list[int]:
        """Return every price that may hold orders of ours, in ticks."""
        return list(self._orders)

    def lots(self, price_ticks: int) -> int:
        """Return our open lots at a price."""
        return sum(order.open_lots for order in self._orders.get(price_ticks, ()) if order.resting)

    def lower(self, price_ticks: int, lots: int) -> None:
        """Take from the end of our orders at a price until no more than ``lots`` are left."""
        orders = [order for order in self._orders.get(price_ticks, ()) if order.resting]
        surplus = sum(order.open_lots for order in orders) - lots
        while surplus > 0:
            last = orders[-1]
            taken = min(surplus, last.open_lots)
            self._venue.reduce(last, taken)
            surplus -= taken
            if not last.resting:
                orders.pop()
        if orders:
            self._orders[price_ticks] = orders
        else:
            self._orders.pop(price_ticks, None)

    def raise_to(self, price_ticks: int, lots: int) -> None:
        """Append at a price until ``lots`` are ours, less what trades at once with orders of the other side.

        When the end of the queue is ours already it grows, so that a level without users is a single order.
        """
        orders = self._orders.setdefault(price_ticks, [])
        missing = lots - sum(order.open_lots for order in orders if order.resting)
        if missing <= 0:
            return
        level = self.ladder.level(price_ticks)
        if level is not None and orders and level.tail is orders[-1]:
            last = orders.pop()
            missing += last.open_lots
            self._venue.cancel_fast(last)
        order = self._venue.place_fast(self._market, self._account, self._side, price_ticks, missing)
        if order.resting:
            orders.append(order)

    def clear_from_best(self, gone: Callable[[int], bool]) -> list[int]:
        """Remove our orders from the best price on, as long as ``gone(price)``; return the prices."""
        prices = []
        for level in self.ladder.levels():
            if not gone(level.price_ticks):
                break
            prices.append(level.price_ticks)
        for price in prices:
            self.lower(price, 0)
        return prices


class Mirror:
    """The market account on both sides of one symbol's book.

    ``touched`` holds the levels, as (is bid, price in ticks), that differ from what they were set to: something traded
    there since. Prices and amounts from outside are in units of 1e-8.
    """

    def __init__(self, venue: Venue, market: Market) -> None:
        name = f"replay {market.symbol}"
        self.touched: dict[tuple[bool, int], None] = {}
        self._info = market.info
        self._venue = venue
        self._market = market
        self._account = venue.accounts.get(name) or venue.create_account(name, fee_free=True, unlimited=True)
        self._bids = MarketSide(venue, market, self._account, "BUY")
        self._asks = MarketSide(venue, market, self._account, "SELL")

    def attach(self) -> None:
        """Begin to note which levels trade."""
        self._venue.on_trade.append(self._note)

    def detach(self) -> None:
        """Note no more; the orders stay."""
        if self._note in self._venue.on_trade:
            self._venue.on_trade.remove(self._note)

    def set_levels(
        self, bids: Mapping[int, int], asks: Mapping[int, int], changed_bids: Iterable[int], changed_asks: Iterable[int]
    ) -> None:
        """Give the changed and the touched prices the amounts that they have in ``bids`` and ``asks``.

        Everything that shrinks comes first, so that the market never crosses itself.
        """
        info = self._info
        levels = {(True, ticks_of(price, info)): None for price in changed_bids}
        levels |= {(False, ticks_of(price, info)): None for price in changed_asks}
        levels |= self.touched
        self.touched = {}
        grown = []
        for is_bid, price in levels:
            book, side = (bids, self._bids) if is_bid else (asks, self._asks)
            lots = lots_of(book.get(price * info.tick_units, 0), info)
            side.lower(price, lots)
            if lots:
                grown.append((side, price, lots))
        for side, price, lots in grown:
            side.raise_to(price, lots)
            if side.lots(price) != lots:  # part of it traded with users at once: restored the next time
                self.touched[side.is_bids, price] = None

    def set_all(self, bids: Mapping[int, int], asks: Mapping[int, int]) -> None:
        """Make the market account's orders equal to a whole book."""
        unit = self._info.tick_units
        every_bid = {*bids, *(price * unit for price in self._bids.prices())}
        every_ask = {*asks, *(price * unit for price in self._asks.prices())}
        self.set_levels(bids, asks, sorted(every_bid, reverse=True), sorted(every_ask))

    def trade(self, price_units: int, amount_units: int, *, buyer_is_maker: bool) -> None:
        """Let an order of the market account trade up to a price.

        The trade proves that no better price was left on its side of the book and none at or beyond it on the other,
        so orders of ours that still stand there go first. What is missing at the price is added at its end.
        """
        price = ticks_of(price_units, self._info)
        lots = lots_of(amount_units, self._info)
        hit, other = (self._bids, self._asks) if buyer_is_maker else (self._asks, self._bids)
        taker: Side = "SELL" if buyer_is_maker else "BUY"
        better = hit.clear_from_best(lambda ticks: ticks > price if buyer_is_maker else ticks < price)
        passed = other.clear_from_best(lambda ticks: ticks <= price if buyer_is_maker else ticks >= price)
        self.touched |= {(hit.is_bids, ticks): None for ticks in (*better, price)}
        self.touched |= {(other.is_bids, ticks): None for ticks in passed}
        available = sum(hit.ladder.lots_at(ticks) for ticks in (*better, price))
        if available < lots:
            hit.raise_to(price, hit.lots(price) + lots - available)
        self._venue.place_fast(self._market, self._account, taker, price, lots, time_in_force="IOC")

    def _note(self, market: Market, trade: Trade) -> None:
        if market is self._market:
            self.touched[trade.maker.is_buy, trade.price_ticks] = None


def ticks_of(price: int, info: SymbolInfo) -> int:
    """Return a price in units of 1e-8 as ticks; raises InvalidInput when it lies between two ticks."""
    ticks, rest = divmod(price, info.tick_units)
    if rest or not ticks:
        raise InvalidInput(
            f"the recorded price {price / 10**8} is not a multiple of {info.symbol}'s tick size {info.tick_size}: "
            "give the exchange a symbol whose steps fit the recording"
        )
    return ticks


def lots_of(amount: int, info: SymbolInfo) -> int:
    """Return an amount in units of 1e-8 as the nearest number of lots, at least 1 unless it is zero."""
    if not amount:
        return 0
    return max((amount + info.lot_units // 2) // info.lot_units, 1)
