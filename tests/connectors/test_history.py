"""History: pages, stretches, the cache, gaps; with a source in memory, and over sockets from a testnet."""

import asyncio
import dataclasses
import logging
from datetime import UTC, date, datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kit.connectors.ccxt_exchange import CcxtExchange
from kit.connectors.history import fetch_history, history
from kit.core.clock import ManualTime
from kit.core.tasks import TaskSupervisor
from kit.errors import InvalidInput, NetworkUnavailable, RateLimited, UnknownExchange, UnknownPair
from kit.storage.events import EventFlag
from kit.storage.sanity import check
from kit.testnet import Testnet
from kit.types.market import PublicTrade, TradeType

PAIR = "BTC/USDT"
DAY = 1_700_006_400  # a midnight
OTHERS = (date(2023, 11, 15), np.datetime64("2023-11-15"), np.int64(DAY))


class Source:
    """Candles and trades in memory, in pages of ``page``; ``errors`` are raised first, one a request."""

    def __init__(self, candles=(), trades=(), now=DAY + 10 * 86400.0, page=100, by_id=False):
        self.candles, self.trades, self.now, self.page = list(candles), list(trades), now, page
        self.by_id = by_id
        self.errors = []
        self.asked = []

    async def fetch_server_time(self):
        return self.now

    async def fetch_candles(self, trading_pair, timeframe, since):
        self.asked.append(since)
        if self.errors:
            raise self.errors.pop(0)
        return [row for row in self.candles if row[0] >= since][: self.page]

    async def fetch_public_trades(self, trading_pair, since, from_id=None):
        self.asked.append(since)
        if self.by_id and from_id is not None:
            return [trade for trade in self.trades if int(trade.trade_id) >= int(from_id)][: self.page]
        return [trade for trade in self.trades if trade.timestamp * 1000 >= since][: self.page]


def candles(start, count, step=60, without=()):
    return [[(start + n * step) * 1000, 10.0, 12.0, 9.0, 11.0, float(n)] for n in range(count) if n not in without]


def trade(number, time, side=TradeType.BUY):
    return PublicTrade(PAIR, str(number), time, side, 10.0, 1.0)


async def fetch(source, timeframe="1m", start=DAY, end=None, cache=None, time_source=None):
    options = {} if time_source is None else {"time_source": time_source}
    return await fetch_history(source, "fake", PAIR, timeframe, start, end, cache=cache, place="fake", **options)


async def test_pages_become_candles():
    source = Source(candles(DAY - 600, 5000))
    found = await fetch(source, end=DAY + 60 * 2500)
    frame = found.frame()
    assert len(frame) == 2500
    assert frame.columns.tolist() == ["open", "high", "low", "close", "volume"]
    assert frame.index[0].timestamp() == DAY
    assert frame["volume"].tolist() == [float(n) for n in range(10, 2510)]
    assert found.gaps().empty
    assert len(source.asked) == len(set(source.asked)) == found.requests
    assert "no gaps" in found._repr_html_()


async def test_gaps_are_listed():
    source = Source(candles(DAY, 100, without={0, 5, 6, 7, 50, 99}))
    gaps = (await fetch(source, end=DAY + 6000)).gaps()
    assert gaps["count"].tolist() == [1, 3, 1, 1]
    minutes = [
        ((one.timestamp() - DAY) / 60, (two.timestamp() - DAY) / 60)
        for one, two in zip(gaps["first"], gaps["last"], strict=True)
    ]
    assert minutes == [(0, 0), (5, 7), (50, 50), (99, 99)]
    nothing = (await fetch(Source(), end=DAY + 600)).gaps()
    assert nothing["count"].tolist() == [10]


async def test_a_candle_that_is_not_over_is_left_out():
    found = await fetch(Source(candles(DAY, 100), now=DAY + 90.0))
    assert len(found) == 1
    assert found.gaps().empty


async def test_the_cache_answers_and_an_interrupted_call_goes_on(tmp_path):
    source = Source(candles(DAY - 86400, 5000), page=1000)
    source.errors = [NetworkUnavailable("x")]
    clock = ManualTime()
    task = asyncio.ensure_future(fetch(source, end=DAY + 60 * 2500, cache=tmp_path, time_source=clock))
    await clock.advance(1)
    whole = await task
    again = await fetch(source, end=DAY + 60 * 2500, cache=tmp_path)
    assert (again.requests, len(again)) == (0, 2500)
    assert again.frame().equals(whole.frame())
    part = await fetch(source, start=DAY + 600, end=DAY + 1200, cache=tmp_path)
    assert (part.requests, len(part)) == (0, 10)
    files = sorted(tmp_path.rglob("*.parquet"))
    assert {path.parent.relative_to(tmp_path).as_posix() for path in files} == {"fake/BTC-USDT/1m"}
    files[1].unlink()
    files[0].write_bytes(b"cut")
    source.errors = [InvalidInput("stop here")]
    with pytest.raises(InvalidInput, match="stop here"):
        await fetch(source, end=DAY + 60 * 2500, cache=tmp_path)
    asked = len(source.asked)
    third = await fetch(source, end=DAY + 60 * 2500, cache=tmp_path)
    assert third.frame().equals(whole.frame())
    assert len(source.asked) - asked == third.requests > 0
    assert third.requests < whole.requests


async def test_a_damaged_file_is_replaced_with_a_word(tmp_path, caplog):
    source = Source(candles(DAY - 86400, 3000))
    await fetch(source, end=DAY + 600, cache=tmp_path)
    path = next(tmp_path.rglob("*.parquet"))
    path.write_bytes(b"cut")
    with caplog.at_level(logging.WARNING):
        assert len(await fetch(source, end=DAY + 600, cache=tmp_path)) == 10
    assert "is damaged and is asked for again" in caplog.text
    assert path.stat().st_size > 3


async def test_what_still_grows_is_not_kept(tmp_path):
    source = Source(candles(DAY, 100), now=DAY + 600.0)
    assert len(await fetch(source, cache=tmp_path)) == 10
    source.now += 600
    assert len(await fetch(source, cache=tmp_path)) == 20


async def test_what_the_exchange_tells_late_is_not_kept_without_it(tmp_path):
    whole = candles(DAY - 86400 - DAY % 60_000, 1000 * 3)
    end = (DAY // 60_000) * 60_000
    source = Source([row for row in whole if row[0] < (end - 60) * 1000], now=float(end))
    assert len(await fetch(source, start=end - 600, end=end, cache=tmp_path)) == 9
    source.candles, source.now = candles(end - 60_000, 1000), end + 100.0
    assert len(await fetch(source, start=end - 600, end=end, cache=tmp_path)) == 10


@pytest.mark.parametrize("timeframe", ["1m", "trades"])
async def test_an_empty_answer_is_asked_for_again(tmp_path, timeframe):
    """An exchange may tell nothing for a while; that is not what happened."""
    end = DAY + 1000 * 60

    async def found(source):
        return await fetch(source, timeframe, start=DAY, end=end, cache=tmp_path)

    whole = {"candles": candles(DAY - 60_000, 3000), "trades": [trade(n, DAY + 60 * n) for n in range(1000)]}
    assert len(await found(Source(now=end + 7200.0))) == 0
    assert not list(tmp_path.rglob("*.parquet"))  # too young to believe it
    old = Source(now=end + 3 * 86400.0)
    assert len(await found(old)) == 0
    assert (await found(old)).requests == 0  # believed, for a day
    old.now += 86400
    assert (await found(old)).requests > 0
    again = await found(Source(**whole, now=old.now + 86400))
    assert len(again) == 1000
    assert (await found(Source(now=old.now + 30 * 86400))).requests == 0


async def test_candles_that_stop_before_their_end_are_asked_for_again(tmp_path):
    begin = DAY - DAY % 60_000
    part = Source(candles(begin, 700), now=begin + 70_000.0)
    assert len(await fetch(part, start=begin, end=begin + 60_000, cache=tmp_path)) == 700
    whole = Source(candles(begin, 1000), now=begin + 70_100.0)
    assert len(await fetch(whole, start=begin, end=begin + 60_000, cache=tmp_path)) == 1000


async def test_the_default_cache_is_where_the_others_are(monkeypatch, tmp_path):
    asked = []

    async def instead(*_, cache, **__):
        asked.append(cache)

    monkeypatch.setattr("kit.connectors.history.fetch_history", instead)
    monkeypatch.setenv("KIT_CACHE", str(tmp_path))
    await history("binance", PAIR, "1m", DAY)
    await history("binance", PAIR, "1m", DAY, cache=tmp_path / "mine")
    await history("binance", PAIR, "1m", DAY, cache=None)
    assert asked == [tmp_path / "history", tmp_path / "mine", None]


async def test_an_exchange_that_looks_no_further_than_a_page_is_asked_beyond_a_standstill():
    class Windowed(Source):
        async def fetch_candles(self, trading_pair, timeframe, since):
            rows = await super().fetch_candles(trading_pair, timeframe, since)
            return [row for row in rows if row[0] < since + self.page * 60_000]

    source = Windowed(candles(DAY, 900, without=range(120, 500)))
    found = await fetch(source, end=DAY + 900 * 60)
    assert len(found) == 900 - 380
    assert found.gaps()["count"].tolist() == [380]


async def test_a_folder_that_cannot_be_written_costs_only_the_cache(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    source = Source(candles(DAY - 86400, 5000))
    with caplog.at_level(logging.WARNING):
        assert len(await fetch(source, end=DAY + 3600 * 40, cache=tmp_path / "file")) == 2400
    assert len([record for record in caplog.records if "history is not kept" in record.message]) == 1


async def test_it_asks_again_but_not_for_ever():
    source, clock = Source(candles(DAY, 100)), ManualTime()
    source.errors = [RateLimited("wait", retry_after=7.0), NetworkUnavailable("x")]
    task = asyncio.ensure_future(fetch(source, end=DAY + 600, time_source=clock))
    await clock.advance(6.5)
    assert len(source.asked) == 1
    await clock.advance(10)
    assert len(await task) == 10
    source.errors = [NetworkUnavailable(str(n)) for n in range(9)]
    task = asyncio.ensure_future(fetch(source, end=DAY + 600, time_source=clock))
    await clock.advance(300)
    with pytest.raises(NetworkUnavailable, match="5"):
        await task


times = st.lists(st.integers(0, 4 * 3600 * 1000), max_size=60)


@example([0, 0, 0], 2)
@given(times, st.integers(2, 9))
def test_every_trade_comes_once_in_order(stamps, page):
    trades = [trade(n, DAY + stamp / 1000) for n, stamp in enumerate(sorted(stamps), 1)]
    found = asyncio.run(fetch(Source(trades=trades, page=page, by_id=True), "trades", end=DAY + 4 * 3600))
    assert found.columns["id"].tolist() == [n for n, stamp in enumerate(sorted(stamps), 1) if stamp < 4 * 3600 * 1000]
    assert found.gaps().empty


@given(times, st.integers(2, 9))
def test_an_exchange_that_can_only_be_asked_by_time_loses_only_what_fills_a_page_in_a_millisecond(stamps, page):
    stamps = sorted(stamps)
    trades = [trade(n, DAY + stamp / 1000) for n, stamp in enumerate(stamps)]
    found = asyncio.run(fetch(Source(trades=trades, page=page), "trades", end=DAY + 4 * 3600))
    crowded = {stamp for stamp in stamps if stamps.count(stamp) >= page}
    expected = {n for n, stamp in enumerate(stamps) if stamp < 4 * 3600 * 1000 and stamp not in crowded}
    assert expected <= set(found.columns["id"].tolist())
    assert found.columns["id"].tolist() == sorted(set(found.columns["id"].tolist()))


async def test_trades():
    trades = [trade(n, DAY + n * 60, TradeType.SELL if n % 2 else TradeType.BUY) for n in range(300) if n != 200]
    found = await fetch(Source(trades=trades), "trades", end=DAY + 86400)
    frame = found.frame()
    assert frame.columns.tolist() == ["id", "side", "price", "amount"]
    assert frame["side"].tolist()[:2] == ["buy", "sell"]
    assert found.gaps()["count"].tolist() == [1]
    events = found.events()
    assert len(events) == 299
    assert [one.problem for one in check(events).problems] == ["silence", "trade ids missing"]
    texts = [dataclasses.replace(one, trade_id=f"a{one.trade_id}") for one in trades]
    assert set((await fetch(Source(trades=texts), "trades", end=DAY + 600)).columns["id"].tolist()) == {0}


async def test_candles_become_events():
    events = (await fetch(Source(candles(DAY, 10)), end=DAY + 600)).events(half_spread=0.5)
    assert (events.flags & EventFlag.SYNTHETIC).all()
    assert check(events).ok


async def test_times():
    source = Source(candles(DAY, 100))
    for start in (DAY, float(DAY), "2023-11-15", "2023-11-15T01:00+01:00", datetime(2023, 11, 15, tzinfo=UTC), *OTHERS):
        assert len(await fetch(source, start=start, end="2023-11-15 00:10")) == 10, start
    for start, end in [
        ("soon", None),
        ("NaT", None),
        (DAY * 1000, None),
        (-5, None),
        (True, None),
        (DAY + 5, DAY),
        (DAY + 90 * 86400, None),
    ]:
        with pytest.raises(InvalidInput, match="start"):
            await fetch(source, start=start, end=end)
    with pytest.raises(InvalidInput, match="timeframe is '1M'"):
        await fetch(source, "1M")


@pytest.fixture(scope="module")
def testnet():
    testnet = asyncio.run(Testnet.start("history", seed=3))
    yield testnet
    testnet.stop_now()


async def traded(exchange, start, count):
    """Wait until so many trades were made."""
    async with asyncio.timeout(120):
        while len(await exchange.fetch_public_trades(PAIR, int(start * 1000))) < count:
            await asyncio.sleep(0.1)


async def test_over_sockets(testnet, tmp_path):
    supervisor = TaskSupervisor("test")
    exchange = CcxtExchange("binance", supervisor, endpoint=testnet)
    try:
        # Not a whole hour ago: an answer ends an hour after its begin, and the trades waited for come from now on.
        start = await exchange.fetch_server_time() - 3000
        await traded(exchange, start, 40)
        await testnet.freeze_flow()
        everything = await exchange.fetch_public_trades(PAIR, int(start * 1000))
        async with asyncio.timeout(60):  # until the last candle is closed: those under way are not history yet
            while await exchange.fetch_server_time() < int(everything[-1].timestamp) + 1:
                await asyncio.sleep(0.1)
        session = exchange._session
        session.profile = dataclasses.replace(session.profile, trades_page=7)
        options = {"cache": tmp_path, "place": "testnet"}
        paged = await fetch_history(exchange, "binance", PAIR, "trades", start, None, **options)
        assert [str(one) for one in paged.columns["id"].tolist()] == [one.trade_id for one in everything]
        assert paged.requests > len(everything) // 7
        assert paged.gaps().empty
        seconds = await fetch_history(exchange, "binance", PAIR, "1s", start, None, **options)
        volume = seconds.frame()["volume"].sum()
        assert 0 < volume <= paged.frame()["amount"].sum() + 1e-9
        assert all(one < two for one, two in pairwise(seconds.columns["time"].tolist()))
        with pytest.raises(InvalidInput, match="no candles of '7m'"):
            await fetch_history(exchange, "binance", PAIR, "7m", start, None, **options)
    finally:
        await exchange.close()
        await supervisor.close()
        await testnet.resume_flow()


async def test_the_public_call(testnet, tmp_path, capfd):
    found = await history("binance", "btc-usdt", "1s", _hour_ago(), endpoint=testnet, cache=tmp_path)
    assert found.trading_pair == PAIR
    assert "BTC/USDT 1s" in capfd.readouterr().err
    async with asyncio.timeout(60):
        while len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0)
    with pytest.raises(UnknownPair):
        await history("binance", "NO/PAIR", "1m", _hour_ago(), endpoint=testnet, progress=False)
    with pytest.raises(UnknownExchange):
        await history("binanse", PAIR, "1m", _hour_ago(), endpoint=testnet, progress=False)


def _hour_ago():
    return datetime.now(UTC).timestamp() - 3600
