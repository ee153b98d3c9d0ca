"""Runs synthetic flow on an exchange of its own and records what the exchange would stream."""

from kit.testnet.flow import SyntheticFlow
from kit.testnet.raw_files import NANOSECONDS, BookTicker, DepthUpdate, Snapshot, Trade
from kit.testnet.venue import Venue

PUBLISH_SECONDS = 0.1


class FlowScene:
    """A venue whose clock is the flow's, the flow, and the stream that it makes."""

    def __init__(self, symbol="BTCUSDT", **options):
        self.venue = Venue(now_ms=lambda: round(self.flow.now * 1000))
        self.flow = SyntheticFlow(self.venue, symbol, **options)
        self.market = self.venue.markets[symbol]
        self.messages = []
        self._best = None
        self._published = 0.0
        self._recording = False
        self.flow.prepare()
        self.market.take_changes()

    @property
    def info(self):
        return self.market.info

    @property
    def mid(self):
        """The middle of the book in ticks."""
        return (self.market.bids.best.price_ticks + self.market.asks.best.price_ticks) / 2

    def record(self, seconds):
        """Act for a while and return the messages: a snapshot first, then whatever happened."""
        if not self._recording:
            self._recording = True
            self._published = self.flow.now
            self.venue.on_trade.append(self._trade)
            self.messages.append(self._snapshot())
        end = self.flow.now + seconds
        while self.flow.next_event <= end:
            while self._published + PUBLISH_SECONDS <= self.flow.next_event:
                self._publish()
            self.flow.step(self.flow.next_event)
            self._ticker()
        self.flow.step(end)
        return self.messages

    def _levels(self, levels):
        info = self.info
        return tuple((price * info.tick_units, lots * info.lot_units) for price, lots in levels)

    def _snapshot(self):
        self.market.take_changes()
        bids, asks = self.market.bids.depth(5000), self.market.asks.depth(5000)
        return Snapshot(self._ns, self.market.last_update_id, self._levels(bids), self._levels(asks))

    def _publish(self):
        self._published += PUBLISH_SECONDS
        changes = self.market.take_changes()
        if changes.levels:
            self.messages.append(
                DepthUpdate(
                    round(self._published * NANOSECONDS),
                    self.info.symbol,
                    round(self._published * 1000),
                    changes.first_update_id,
                    changes.last_update_id,
                    None,
                    self._levels(changes.bids),
                    self._levels(changes.asks),
                )
            )

    def _ticker(self):
        bid, ask = self.market.bids.best, self.market.asks.best
        best = bid.price_ticks, bid.lots, ask.price_ticks, ask.lots
        if best != self._best:
            self._best = best
            levels = self._levels((best[:2], best[2:]))
            self.messages.append(BookTicker(self._ns, self.info.symbol, 0, *levels[0], *levels[1]))

    def _trade(self, market, trade):
        ((price, amount),) = self._levels([(trade.price_ticks, trade.qty_lots)])
        self.messages.append(
            Trade(self._ns, market.symbol, trade.trade_id, trade.time_ms, price, amount, trade.buyer_is_maker)
        )

    @property
    def _ns(self):
        return round(self.flow.now * NANOSECONDS)
