from __future__ import annotations

import asyncio
import logging
from decimal import Decimal

import pytest
from aiohttp import web

import kit
from kit.core.clock import Clock, ClockMode, ManualTime
from kit.errors import InvalidInput, NotReady
from kit.strategy.price_sources import AwaitedPrice, MarketPrice, PolledPrice, PriceSource, UrlPrice, as_price_source
from kit.strategy.pure_market_making import PureMarketMaking
from kit.types.market import PriceType
from tests.support.kit_logs import kit_records
from tests.support.mock_market import MockBook, MockMarket

D = Decimal
SETTINGS = {"bid_spread": "0.01", "ask_spread": "0.01", "order_amount": 1, "order_refresh_time": 0.5}


def other_market(mid: str) -> MockMarket:
    return MockMarket(book=MockBook.balanced(D(mid), D(1), D(300), D(1), D(10)), name="other")


@pytest.fixture
def run(market, bench):
    def build(source, **changes):
        return bench(market, PureMarketMaking(market, price_source=source, **{**SETTINGS, **changes}))

    return build


def test_another_market_gives_the_price_by_type(run):
    other = other_market("98")
    b = run(other)
    b.til(1)
    assert b.prices == (["97.02"], [])  # a sell at 98.98 would take the bid of 99.5
    b.strategy.params.price_type = "best_ask"
    b.til(3)
    assert b.prices == (["97.515"], [])


def test_another_market_that_is_not_ready_withdraws(run, caplog):
    other = other_market("100")
    b = run((other, "HBOT-ETH"))
    b.til(1)
    other.ready = False
    with caplog.at_level(logging.WARNING):
        b.til(5)
    assert b.prices == ([], [])
    assert "no reference price: other is not ready" in b.strategy.explain().verdict
    assert len(kit_records(caplog)) == 1


def test_the_pair_of_another_market_must_be_named_where_it_streams_several():
    other = other_market("100")
    other.trading_pairs = ("HBOT/ETH", "X/Y")
    with pytest.raises(InvalidInput, match="HBOT/ETH, X/Y"):
        MarketPrice(other)
    with pytest.raises(InvalidInput, match="other streams"):
        MarketPrice(other, "A/B")


def test_a_function_is_asked_at_its_interval_and_goes_stale(run):
    answers = iter([100, "100.5", RuntimeError(), None, -1, 99])
    asked = []

    def fetch():
        asked.append(b.clock.current_timestamp)
        answer = next(answers, RuntimeError("over"))
        if isinstance(answer, Exception):
            raise answer
        return answer

    b = run(fetch, price_source_interval=2, price_source_stale_after=5)
    b.til(1)
    assert b.prices == (["99"], ["101"])
    b.til(8)
    assert asked == [1, 3, 5, 7]
    assert b.prices[0], "the answer of t=3 holds for 5 s"
    b.til(9)
    assert b.prices == ([], [])
    verdict = b.strategy.explain().verdict
    assert "the last answer of fetch is 6 s old, limit 5 s: fetch answered '-1', which is no price" in verdict
    b.til(12)
    assert b.prices == (["98.01"], ["99.99"])


def test_an_object_with_price_and_a_source_of_ones_own(run):
    class Oracle:
        def price(self):
            return 100

    class Mine(PriceSource):
        name = "mine"

        def price(self, price_type):
            return D(100)

    for source in (Oracle(), Mine()):
        b = run(source)
        b.til(1)
        assert b.prices == (["99"], ["101"])


def test_sources_have_names_in_the_kit():
    assert (kit.PriceSource, kit.MarketPrice, kit.UrlPrice) == (PriceSource, MarketPrice, UrlPrice)
    assert {"PriceSource", "MarketPrice", "UrlPrice"} <= set(kit.__all__)


def test_what_is_no_source_is_refused(market):
    for wrong in (5, "ftp://host/price", object(), ("binance", "BTC/USDT"), (market, 5), (market, "HBOT/ETH", 1)):
        with pytest.raises(InvalidInput):
            as_price_source(wrong)
    assert as_price_source(None) is None
    mine = PolledPrice(lambda: 1)
    assert as_price_source(mine) is mine


def test_the_source_can_be_changed_while_it_runs(run):
    b = run(None)
    b.til(1)
    b.strategy.price_source = lambda: 99
    b.til(3)
    assert b.prices == (["98.01"], ["99.99"])
    b.strategy.price_source = None
    b.til(5)
    assert b.prices == (["99"], ["101"])


def test_a_backtest_cannot_wait(market):
    async def fetch():
        return 1

    strategy = PureMarketMaking(market, price_source=fetch, **SETTINGS)
    with pytest.raises(NotReady, match="plain function"):
        strategy.start(Clock(ClockMode.BACKTEST), 0.0)


async def test_an_async_function_is_awaited_in_a_task_of_its_own():
    time = ManualTime(start=100.0)
    answers = iter([10, ValueError("secret"), 11])

    async def fetch():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    source = AwaitedPrice(fetch, time_source=time)
    source.tick(100.0, 5.0, 60.0)
    assert source.problem == "fetch has not answered yet"
    source.start(Clock(time_source=time))
    await time.advance(1)
    source.tick(time.time(), 5.0, 60.0)
    assert source.price(PriceType.MidPrice) == 10
    await time.advance(4)
    source.tick(time.time(), 5.0, 3.0)
    assert source.problem == "the last answer of fetch is 5 s old, limit 3 s: ValueError"
    await time.advance(5)
    source.tick(time.time(), 5.0, 3.0)
    assert (source.price(PriceType.MidPrice), source.problem) == (11, "")
    source.stop()
    await asyncio.sleep(0)
    assert not [task for task in asyncio.all_tasks() if "fetch" in task.get_name()]


async def test_an_async_function_that_hangs_is_given_up_and_asked_again():
    time = ManualTime(start=100.0)
    asked = []

    async def fetch():
        asked.append(time.time())
        if len(asked) == 1:
            await asyncio.Event().wait()
        return 10

    source = AwaitedPrice(fetch, time_source=time)
    source.tick(100.0, 5.0, 20.0)
    source.start(Clock(time_source=time))
    await time.advance(19)
    assert (asked, source.error) == ([100.0], "")
    await time.advance(1)
    assert source.problem == "fetch has not answered yet: fetch did not answer in time, 20 s at most"
    await time.advance(5)
    source.tick(time.time(), 5.0, 20.0)
    assert (asked, source.price(PriceType.MidPrice)) == ([100.0, 125.0], 10)
    source.stop()


async def test_a_source_shared_by_two_strategies_asks_once_until_the_last_one_stops():
    time = ManualTime(start=100.0)
    asked = []

    async def fetch():
        asked.append(time.time())
        return 10

    source, clock = AwaitedPrice(fetch, time_source=time), Clock(time_source=time)
    source.stop()
    for _ in range(2):
        source.start(clock)
    await time.advance(5)
    assert asked == [100.0, 105.0]
    source.stop()
    await time.advance(5)
    assert asked == [100.0, 105.0, 110.0], "the other one still needs it"
    source.stop()
    await time.advance(20)
    assert len(asked) == 3
    source.start(clock)
    await time.advance(1)
    assert len(asked) == 4
    source.stop()


async def test_a_url_is_read_and_its_path_stays_secret(caplog):
    bodies = iter([b"101.5\n", b"oops", b"\xff\xfe<html>", b"9" * 10**6])

    async def answer(request):
        return web.Response(body=next(bodies), status=200)

    app = web.Application()
    app.router.add_get("/price", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    source = UrlPrice(f"http://127.0.0.1:{port}/price?key=secret")
    source.answer(await source._get(), 1.0)
    source.tick(1.0, 5.0, 60.0)
    assert source.price(PriceType.Custom) == D("101.5")
    with pytest.raises(InvalidInput, match=r"'oops', which is no price; kit\.UrlPrice.* reads other texts"):
        source.answer(await source._get(), 2.0)
    with pytest.raises(InvalidInput, match="<html>', which is no price"):
        source.answer(await source._get(), 2.0)
    with pytest.raises(InvalidInput, match="answered with more than 65536 bytes"):
        await source._get()
    missing = UrlPrice(f"http://127.0.0.1:{port}/nothing?key=secret")
    with pytest.raises(InvalidInput, match=r"127\.0\.0\.1 answered with HTTP status 404"):
        await missing._get()
    await runner.cleanup()
    assert "secret" not in caplog.text


class Fixed(PriceSource):
    """A source of a user's own that says what it is told to say."""

    name = "mine"

    def __init__(self, answer):
        self.answer = answer
        self.users = 0

    def start(self, clock):
        self.users += 1

    def stop(self):
        self.users -= 1

    def price(self, price_type):
        return self.answer


@pytest.mark.parametrize("answer", [100, 100.0, "100", " 100.00 ", D(100)])
def test_a_source_of_ones_own_may_answer_with_any_kind_of_number(run, answer):
    b = run(Fixed(answer))
    b.til(1)
    assert b.prices == (["99"], ["101"])


def test_a_source_without_a_price_answers_none(run):
    b = run(Fixed(None))
    b.til(1)
    assert b.prices == ([], [])
    assert b.strategy.explain().verdict == "Not quoting. There is no reference price: mine has no price."
    assert b.strategy.health.total_errors == 0


@pytest.mark.parametrize("answer", ["high", [100], True])
def test_a_source_that_answers_nonsense_is_told_what_to_answer(run, answer):
    b = run(Fixed(answer))
    b.til(1)
    said = str(b.strategy.last_error)
    assert "price() of price source mine returned" in said
    assert "which is no price; return a Decimal" in said


ABSURD = ["1e999999", "1e-999999", "9" * 100_000, "1e16"]


@pytest.mark.parametrize("absurd", ABSURD)
def test_an_absurd_answer_is_no_price_and_the_next_good_one_counts(run, absurd):
    answers = iter([100, absurd, absurd, absurd, absurd, 100])
    b = run(answers.__next__, price_source_interval=1, price_source_stale_after=2)
    b.til(5)
    assert b.prices == ([], [])
    said = b.strategy.explain().verdict
    assert "which is no price" in said
    assert len(said) < 250
    b.til(6)
    assert b.prices == (["99"], ["101"])
    assert b.strategy.health.total_errors == 0


@pytest.mark.parametrize("absurd", ABSURD)
def test_a_source_of_ones_own_with_an_absurd_price_has_none(run, absurd):
    b = run(Fixed(absurd))
    b.til(3)
    assert b.prices == ([], [])
    assert b.strategy.explain().verdict == "Not quoting. There is no reference price: mine has no price."
    assert b.strategy.status.markets["reference_price"].tolist() == [None]
    assert b.strategy.health.total_errors == 0


def test_a_source_whose_price_is_async_is_told_the_way(run):
    class Waits(Fixed):
        async def price(self, price_type):
            return 100

    b = run(Waits(0))
    b.til(1)
    assert "must answer at once" in str(b.strategy.last_error)
    assert "give the async function itself as price_source" in str(b.strategy.last_error)


def test_custom_is_refused_where_nothing_of_the_user_s_answers(market, run):
    for source, where in ((None, "own market"), (other_market("98"), "other HBOT/ETH")):
        with pytest.raises(InvalidInput, match=f"price_type 'custom'.*{where}.*price_source"):
            run(source, price_type="custom")
    b = run(None)
    b.til(1)
    with pytest.raises(InvalidInput, match="price_type 'custom'"):
        b.strategy.params.price_type = "custom"
    assert b.strategy.params.pending == {}
    b.strategy.price_source = Fixed(98)
    b.strategy.params.price_type = "custom"
    with pytest.raises(InvalidInput, match="price_type 'custom'"):
        b.strategy.price_source = None
    assert b.strategy.price_source.name == "mine"
    b.strategy.params.price_type = "mid_price"
    b.strategy.price_source = None
    b.til(3)
    assert b.prices == (["99"], ["101"])


@pytest.mark.parametrize("early", [True, False])
def test_a_start_that_fails_lets_go_of_the_source_that_it_started(market, early):
    class Broken(PureMarketMaking):
        def on_start(self, timestamp):
            if not early:
                super().on_start(timestamp)
                assert source.users == 1
            raise ZeroDivisionError

    source = Fixed(100)
    strategy = Broken(market, price_source=source, **SETTINGS)
    with pytest.raises(ZeroDivisionError):
        strategy.start(Clock(ClockMode.BACKTEST), 0.0)
    assert source.users == 0


def test_a_source_is_let_go_of_once_also_where_on_stop_does_not_call_its_parent(market, bench):
    class Silent(PureMarketMaking):
        def on_stop(self):
            pass

    source = Fixed(100)
    b = bench(market, Silent(market, price_source=source, **SETTINGS))
    b.til(1)
    assert source.users == 1
    b.stop()
    assert source.users == 0


async def test_a_plain_function_may_return_what_is_to_be_awaited():
    time = ManualTime(start=100.0)
    answers = iter([10, ValueError("secret"), 11])

    async def fetch():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    source = as_price_source(lambda: fetch())  # noqa: PLW0108 - what users write
    source.start(Clock(time_source=time))
    source.tick(100.0, 5.0, 60.0)
    assert source.problem == "<lambda> has not answered yet"
    await time.advance(1)
    source.tick(time.time(), 5.0, 60.0)
    assert source.price(PriceType.MidPrice) == 10
    for _ in range(5):
        await time.advance(1)
        source.tick(time.time(), 5.0, 3.0)
    assert source.problem == "the last answer of <lambda> is 6 s old, limit 3 s: ValueError"
    await time.advance(5)
    source.tick(time.time(), 5.0, 3.0)
    await time.advance(1)
    assert (source.price(PriceType.MidPrice), source.problem) == (11, "")
    source.stop()
    await asyncio.sleep(0)
    assert not [task for task in asyncio.all_tasks() if "lambda" in task.get_name()]


async def test_what_is_awaited_is_not_asked_for_twice_and_given_up_in_time():
    time = ManualTime(start=100.0)
    asked = []

    async def never():
        asked.append(time.time())
        await asyncio.Event().wait()

    source = PolledPrice(lambda: never(), time_source=time)  # noqa: PLW0108
    source.start(Clock(time_source=time))
    for _ in range(20):
        source.tick(time.time(), 1.0, 20.0)
        await time.advance(1)
    assert asked == [100.0]
    source.tick(time.time(), 1.0, 20.0)
    assert "did not answer in time, 20 s at most" in source.problem
    source.stop()
    await asyncio.sleep(0)


async def test_a_source_stopped_before_its_answer_was_begun_leaves_no_coroutine():
    async def fetch():
        return 1

    time = ManualTime(start=100.0)
    source = as_price_source(lambda: fetch())  # noqa: PLW0108
    source.start(Clock(time_source=time))
    source.tick(100.0, 5.0, 60.0)
    source.stop()
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def test_in_a_backtest_what_is_to_be_awaited_is_no_price(run):
    async def fetch():
        return 1

    b = run(lambda: fetch())  # noqa: PLW0108
    b.til(1)
    assert b.prices == ([], [])
    assert "waits for answers, which a backtest cannot; give a plain function" in b.strategy.explain().verdict


async def test_a_shorter_interval_counts_at_once():
    time = ManualTime(start=100.0)
    asked = []

    async def fetch():
        asked.append(time.time())
        return 10

    source = AwaitedPrice(fetch, time_source=time)
    source.tick(100.0, 3600.0, None)
    source.start(Clock(time_source=time))
    await time.advance(10)
    source.tick(time.time(), 5.0, None)
    await time.advance(10)
    assert asked == [100.0, 110.0, 115.0, 120.0]
    source.stop()


def test_the_explanation_names_what_answered(run):
    def around(b):
        frame = b.strategy.explain().frame
        return frame[frame.step == "base_levels"].iloc[0].why

    def one(source, **changes):
        b = run(source, **changes)
        b.til(1)
        return around(b)

    assert one(None) == "around 100 (mid_price)"
    assert one(None, price_type="last_own_trade_price") == (
        "around 100 (mid_price, as last_own_trade_price is not known yet)"
    )
    assert one(None, price_type="last_price") == "around 100 (mid_price, as last_price is not known yet)"
    assert one(Fixed(100), price_type="best_bid") == "around 100 (mine)"
    assert one(Fixed(100), price_type="last_own_trade_price") == (
        "around 100 (mine, as last_own_trade_price is not known yet)"
    )
    assert one(other_market("100"), price_type="best_ask") == "around 100.5 (best_ask of other HBOT/ETH)"


def test_the_status_shows_the_market_that_the_price_is_from(run):
    b = run(other_market("101"))
    b.til(1)
    markets = b.strategy.status.markets
    assert list(markets.market) == ["mock", "other"]
    assert list(markets.best_bid) == [D("99.5"), D("100.5")]
    assert markets.reference_price[0] == 101
    b.strategy.price_source.market.ready = False
    assert not b.strategy.status.markets.ready[1]
