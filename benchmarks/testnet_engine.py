"""Operations per CPU second of the test exchange's matching engine alone, without sockets and JSON.

Run ``python benchmarks/testnet_engine.py``. One operation is one order placed or one order cancelled. The last column
compares with the reference in the same run: a book of ``Decimal`` levels in a dict whose best is found by a scan, which
is how small exchanges for tests are usually written, without accounts, ledger, reports or trades. The rows that differ
only in depth must not differ much; the traders' rows do what the reference leaves out.
"""

import random
from collections.abc import Callable
from decimal import Decimal
from time import process_time

from kit.testnet.audit import audit
from kit.testnet.venue import Account, Market, NewOrder, Order, Venue

ROUNDS = 3
MID = 6_000_000
D = Decimal


class ScannedBook:
    """The reference: levels of Decimals in a dict, the best by a scan, queues as lists; no accounts, no ledger."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[Decimal, list[list[Decimal]]]] = {"BUY": {}, "SELL": {}}

    def place(self, side: str, price: Decimal, qty: Decimal) -> tuple[str, Decimal, list[Decimal]]:
        other = self.sides["SELL" if side == "BUY" else "BUY"]
        left = [qty]
        while left[0] and other:
            best = min(other) if side == "BUY" else max(other)
            if best > price if side == "BUY" else best < price:
                break
            maker = other[best][0]
            taken = min(left[0], maker[0])
            maker[0] -= taken
            left[0] -= taken
            if not maker[0]:
                other[best].pop(0)
                if not other[best]:
                    del other[best]
        if left[0]:
            self.sides[side].setdefault(price, []).append(left)
        return side, price, left

    def cancel(self, side: str, price: Decimal, order: list[Decimal]) -> None:
        level = self.sides[side].get(price, [])
        for index, resting in enumerate(level):
            if resting is order:
                del level[index]
                break
        if not level:
            self.sides[side].pop(price, None)


def fresh() -> tuple[Venue, Market, Account, Account]:
    now = [1_700_000_000_000]
    venue = Venue(now_ms=lambda: now[0])
    crowd = venue.create_account("crowd", unlimited=True, fee_free=True)
    trader = venue.create_account("trader")
    venue.deposit(trader, "BTC", D(10_000))
    venue.deposit(trader, "USDT", D(1_000_000_000))
    return venue, venue.markets["BTCUSDT"], crowd, trader


def scanned(depth: int, count: int) -> float:
    book = ScannedBook()
    for step in range(1, depth + 1):
        book.place("BUY", D(60_000) - D(step).scaleb(-2), D(1))
        book.place("SELL", D(60_000) + D(step).scaleb(-2), D(1))
    rng = random.Random(1)
    begin = process_time()
    for _ in range(count // 2):
        side = "BUY" if rng.random() < 0.5 else "SELL"
        away = D(1 + rng.randrange(depth)).scaleb(-2)
        book.cancel(*book.place(side, D(60_000) - away if side == "BUY" else D(60_000) + away, D(1)))
    return process_time() - begin


def place_and_cancel(depth: int, count: int) -> float:
    venue, market, crowd, _ = fresh()
    for step in range(1, depth + 1):
        venue.place_fast(market, crowd, "BUY", MID - step, 10)
        venue.place_fast(market, crowd, "SELL", MID + step, 10)
    rng = random.Random(1)
    begin = process_time()
    for _ in range(count // 2):
        away = 1 + rng.randrange(depth)
        if rng.random() < 0.5:
            order = venue.place_fast(market, crowd, "BUY", MID - away, 10)
        else:
            order = venue.place_fast(market, crowd, "SELL", MID + away, 10)
        venue.cancel_fast(order)
    return process_time() - begin


def long_queue(_: int, count: int) -> float:
    venue, market, crowd, _trader = fresh()
    orders = [venue.place_fast(market, crowd, "BUY", MID, 10) for _ in range(count)]
    random.Random(1).shuffle(orders)
    begin = process_time()
    for order in orders[: count // 2]:
        venue.cancel_fast(order)
    venue.place_fast(market, crowd, "SELL", MID, 10 * (count // 2), "LIMIT", "IOC")
    return process_time() - begin


def market_flow(depth: int, count: int) -> float:
    """Replay's and the synthetic flow's work: mostly quotes that come and go, some takers."""
    venue, market, crowd, _ = fresh()
    rng = random.Random(1)
    live: list[Order] = []
    begin = process_time()
    for _ in range(count):
        dice = rng.random()
        if dice < 0.1:
            venue.place_fast(market, crowd, "BUY" if dice < 0.05 else "SELL", 0, 15, "MARKET")
        elif dice < 0.5 and live:
            venue.cancel_fast(live.pop(rng.randrange(len(live))))
        else:
            side = "BUY" if dice < 0.75 else "SELL"
            away = 1 + rng.randrange(depth)
            live.append(venue.place_fast(market, crowd, side, MID - away if side == "BUY" else MID + away, 10))
    return process_time() - begin


def trader_quotes(_: int, count: int) -> float:
    """Checked orders of a funded account, with holds, filters, reports and balances told."""
    venue, _market, _crowd, trader = fresh()
    told = [0]

    def hear(*_args: object) -> None:
        told[0] += 1

    venue.on_execution.append(hear)
    venue.on_balance.append(hear)
    bid = NewOrder("BTCUSDT", "BUY", qty=D("0.01"), price=D("59999.50"))
    ask = NewOrder("BTCUSDT", "SELL", qty=D("0.01"), price=D("60000.50"))
    begin = process_time()
    for number in range(count // 2):
        order = venue.place(trader, bid if number % 2 else ask)
        venue.cancel(trader, "BTCUSDT", order.order_id)
    spent = process_time() - begin
    assert told[0] == 4 * (count // 2)
    return spent


def trader_fills(_: int, count: int) -> float:
    """Checked market orders, each filled by the crowd's quote: two orders, one trade, fees, two balances."""
    venue, market, crowd, trader = fresh()
    reports: list[object] = []
    venue.on_execution.append(reports.append)
    orders = {side: NewOrder("BTCUSDT", side, "MARKET", qty=D("0.001")) for side in ("BUY", "SELL")}  # type: ignore[arg-type]
    begin = process_time()
    for number in range(count // 2):
        buys = number % 2
        venue.place_fast(market, crowd, "SELL" if buys else "BUY", MID, 100)
        venue.place(trader, orders["BUY" if buys else "SELL"])
    spent = process_time() - begin
    assert len(market.trades) == min(count // 2, 50_000)
    assert audit(venue) == []
    return spent


CASES: list[tuple[str, Callable[[int, int], float], int, int]] = [
    ("reference: scanned Decimals, 1,000 levels a side", scanned, 1_000, 20_000),
    ("place + cancel, 10 levels a side", place_and_cancel, 10, 200_000),
    ("place + cancel, 1,000 levels a side", place_and_cancel, 1_000, 200_000),
    ("place + cancel, 10,000 levels a side", place_and_cancel, 10_000, 200_000),
    ("a queue of 100,000 at one price: cancel half, fill half", long_queue, 0, 100_000),
    ("market flow: quotes, cancels, takers", market_flow, 500, 200_000),
    ("trader: checked limit order + cancel, all told", trader_quotes, 0, 40_000),
    ("trader: checked market order filled by a quote", trader_fills, 0, 40_000),
]


def main() -> None:
    best = [min(case(depth, count) for _ in range(ROUNDS)) / count for _, case, depth, count in CASES]
    print(f"{'':58} {'ops/s':>9} {'us/op':>7} {'x reference':>12}")
    for (name, *_), seconds in zip(CASES, best, strict=True):
        print(f"{name:58} {1 / seconds:>9,.0f} {seconds * 1e6:>7.2f} {best[0] / seconds:>12.1f}")


if __name__ == "__main__":
    main()
