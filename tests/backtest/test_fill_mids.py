"""The mid price at a fill is the exchange's, just before."""

import math

import numpy as np
import pytest

import kit
from kit.storage.events import EventKind, MarketEvents
from tests.support.made_market import BALANCES, NS, PAIR, RULES, START, KnownBook, made_events

SNAPSHOT = [(EventKind.SNAPSHOT, 1, 100.0, 2.0), (EventKind.SNAPSHOT, -1, 100.2, 1.0), (EventKind.SNAPSHOT, -1, 101, 5)]


def market(*later):
    """Events (seconds, kind, side, price, amount) after a book of 100.0 / 100.2; nothing travels."""
    rows = [(0.0, *row) for row in SNAPSHOT] + list(later) + [(20.0, EventKind.DEPTH, 1, 90.0, 1.0)]
    times = [START * NS + round(row[0] * NS) for row in rows]
    return MarketEvents.from_rows(
        "binance", PAIR, [(ns, ns, int(row[1]), *row[2:], 0, 1) for ns, row in zip(times, rows, strict=True)]
    )


class Bids(kit.Strategy):
    class Params(kit.Params):
        price: str = kit.param("100.0")

    def on_tick(self, timestamp):
        if timestamp == START + 1:
            self.buy("0.5", self.params.price)


def run(strategy, events, **options):
    return kit.backtest(
        strategy, events, **{"rules": RULES, "balances": BALANCES, "latency": 0.01, "progress": False, **options}
    )


def test_a_move_between_tick_and_fill_is_no_spread_captured():
    # Half a second after the tick asks come down to 100.1, then a large sale fills our bid at 100.0.
    result = run(
        Bids,
        market(
            (5.4, EventKind.DEPTH, -1, 100.1, 1.0),
            (5.5, EventKind.TRADE, -1, 100.0, 9.0),
            (5.5, EventKind.DEPTH, 1, 100.0, 0.0),
            (5.5, EventKind.DEPTH, 1, 99.0, 1.0),
        ),
    )
    (fill,) = result.run.fills
    assert fill.mid == pytest.approx(100.05)
    assert result.stats["value"]["spread_captured"] == pytest.approx(0.05 * 0.5)
    assert not any("Mid prices at fills" in note for note in result.notes)


def test_a_taker_pays_half_the_spread_that_it_met():
    result = run(Bids, market((1.005, EventKind.DEPTH, 1, 100.1, 1.0)), price="100.2")
    assert [record.mid for record in result.run.fills] == [pytest.approx(100.15)]
    assert result.stats["value"]["spread_captured"] == pytest.approx(-0.05 * 0.5)


def test_an_empty_side_leaves_the_ticks_price_and_a_note():
    events = market(
        (5.4, EventKind.DEPTH, -1, 100.2, 0.0),
        (5.4, EventKind.DEPTH, -1, 101, 0.0),
        (5.5, EventKind.TRADE, -1, 99.0, 1.0),
    )
    result = run(Bids, events)
    (fill,) = result.run.fills
    assert math.isnan(fill.mid)
    assert result.fills["mid"].tolist() == [pytest.approx(100.1)]
    assert any("Mid prices at fills" in note for note in result.notes)


def test_several_pairs_and_late_feeds_have_the_mids_of_a_book_kept_the_obvious_way():
    data = {pair: made_events(40, seed=seed, pair=pair, delay_ms=300) for seed, pair in ((1, PAIR), (2, "ETH/USDT"))}

    class Quotes(kit.Strategy):
        def on_tick(self, timestamp):
            self.cancel_all()
            for pair in self.market.trading_pairs:
                self.buy("0.01", self.market.get_price(pair, False), trading_pair=pair)
                self.sell("0.01", self.market.get_price(pair, True), trading_pair=pair)

    options = {"rules": dict.fromkeys(data, RULES[PAIR]), "balances": {**BALANCES, "ETH": 10}, "trading_pair": PAIR}
    result = run(Quotes, list(data.values()), **options)
    assert len(result.run.fills) > 20
    for pair, events in data.items():
        order = np.argsort(events.exch_ts, kind="stable")
        columns = {
            name: getattr(events, name)[order] for name in ("kind", "side", "price", "amount", "update_id", "flags")
        }
        times = events.exch_ts[order]
        book = KnownBook(MarketEvents("binance", pair, exch_ts=times, local_ts=times, **columns))
        for record in sorted(result.run.fills, key=lambda one: one.event.timestamp):
            if record.event.trading_pair == pair:
                bids, asks = book.at(round(record.event.timestamp * NS) - 500)
                assert record.mid == pytest.approx((max(bids) + min(asks)) / 2)
