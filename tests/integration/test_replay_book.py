"""A replay without orders of ours: the book that arrives through ccxt is the one rebuilt straight from the files.

Both are compared at every recorded second. What the exchange calls a moment is its update id, and which id belongs to
which recorded message is found by playing the same files into an engine here; the levels come from the files alone.
"""

import asyncio
import os
from array import array
from itertools import chain, islice

import aiohttp

import kit
from kit.testnet import Testnet
from kit.testnet.replay import Replay
from kit.testnet.venue import Venue
from kit.types.market import TradeType
from tests.support.market_recordings import raw_lines, recording
from tests.support.stack import PAIR, SYMBOL, until

FILES = ("binance_spot_btcusdt_20240808.raw.gz", "binance_spot_btcusdt_20240809.raw.gz")
PLAYED = FILES if os.environ.get("KIT_TEST_REPLAY") == "whole" else FILES[:1]
"""Six minutes; eleven with the second file, which goes on where the first one ends."""
SPEED = float(os.environ.get("KIT_TEST_REPLAY_SPEED", "60"))
CENTS, LOTS = 100, 100_000
ALL = 100_000


def amount_of(text):
    """Return an amount as the exchange can hold it: whole lots, and what is finer counts as one."""
    amount = float(text)
    return max(round(amount * LOTS), 1) / LOTS if amount else 0.0


def straight_from_files(paths):
    """Yield (second, depth messages applied, bids, asks) at the end of each recorded second, without the kit.

    The sides are dicts of amounts by price, and change with the next second.
    """
    sides, waiting, applied, second = {"b": {}, "a": {}}, [], None, None

    def apply(data, keys=("b", "a")):
        for side, key in zip(sides.values(), keys, strict=True):
            for price, amount in data[key]:
                if amount := amount_of(amount):
                    side[float(price)] = amount
                else:
                    side.pop(float(price), None)

    for path in paths:
        for local, data in raw_lines(path):
            if applied is not None and int(local) > second:
                yield second, applied, *sides.values()
                second = int(local)
            if "lastUpdateId" in data:
                apply(data, ("bids", "asks"))
                for update in waiting:
                    if update["u"] > data["lastUpdateId"]:
                        apply(update)
                applied, second = 0, int(local)
            elif data.get("e") == "depthUpdate" and applied is None:
                waiting.append(data)
            elif data.get("e") == "depthUpdate":
                apply(data)
                applied += 1
    yield second, applied, *sides.values()


def recorded_trades(paths):
    """Yield (price in ticks, lots, whether the taker bought) of each recorded trade after the snapshot."""
    started = False
    for path in paths:
        for _, data in raw_lines(path):
            started = started or "lastUpdateId" in data
            if started and data.get("e") == "trade":
                yield round(float(data["p"]) * CENTS), round(float(data["q"]) * LOTS), not data["m"]


def update_ids(paths):
    """Return the exchange's update id after each depth message of the files, the first one's at index 1."""
    venue = Venue(now_ms=lambda: 0)
    ids = [0]
    replay = Replay(venue, SYMBOL, paths, on_publish=lambda market: ids.append(market.last_update_id))
    replay.step(1e6)
    return ids


async def start_at_its_beginning(paths, early):
    """Start the replay and stop its time before an update; anew where the machine stood still between both."""
    address = f"/api/v3/depth?symbol={SYMBOL}&limit=5"
    while True:
        testnet = await Testnet.start("replay", replay=paths, speed=SPEED, flow=False, symbols=[PAIR])
        await testnet.freeze_flow()
        async with aiohttp.ClientSession() as session, session.get(testnet.url + address) as answer:
            if (await answer.json())["lastUpdateId"] < early:
                return testnet
        await testnet.stop()


async def play(paths, wanted, early):
    """Stream the replay through ccxt; return where the book began, its range, its wanted states, and all trades."""
    seen, trades = {}, []
    core = kit.TradingCore("replay")
    async with await start_at_its_beginning(paths, early) as testnet:
        market = await core.add_connector("binance", [PAIR], endpoint=testnet)
        book = market.get_order_book(PAIR)
        bids, asks = book.depth(ALL)
        began, inside = book.update_id, (bids[-1][0], asks[-1][0])

        def record(_):
            if book.update_id in wanted:
                seen[book.update_id] = [array("d", chain.from_iterable(side)) for side in book.depth(ALL)]

        market.order_book_tracker.on_update = record
        book.add_trade_listener(trades.append)
        await testnet.resume_flow()
        while (await testnet.status())["activity"][SYMBOL] == "running":
            await asyncio.sleep(0.1)
        await until(lambda: max(wanted) in seen, "the last update")
        status = market.order_book_tracker.status(PAIR)
        assert (await core.stop()).clean
    assert (status.snapshots, status.resyncs, status.gaps, status.lost, status.rejected) == (1, 0, 0, 0, 0)
    tape = [(round(one.price * CENTS), round(one.amount * LOTS), one.side is TradeType.BUY) for one in trades]
    return began, inside, seen, tape


async def test_the_book_through_ccxt_is_the_recorded_one_at_every_second():
    paths = [recording(name) for name in PLAYED]
    ids = update_ids(paths)
    wanted = {ids[applied] for _, applied, _, _ in straight_from_files(paths)}
    began, (low, high), seen, tape = await play(paths, wanted, early=ids[len(ids) // 12])

    compared, seconds = 0, 0
    for second, applied, *recorded in straight_from_files(paths):
        seconds += 1
        if ids[applied] <= began:
            continue
        inside = 0
        for flat, theirs in zip(seen[ids[applied]], recorded, strict=True):
            ours = {price: amount for price, amount in zip(flat[::2], flat[1::2], strict=True) if low <= price <= high}
            assert ours == {price: amount for price, amount in theirs.items() if low <= price <= high}, second
            inside += len(ours)
        assert inside > 500  # one side gets short when the price nears the end of the range
        compared += 1
    assert compared > 0.9 * seconds

    trades = list(recorded_trades(paths))
    assert len(tape) > 0.9 * len(trades)
    assert tape == list(islice(trades, len(trades) - len(tape), None))
