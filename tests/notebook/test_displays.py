"""What objects show: every public one has a picture, in words and HTML that need nothing else, and no secrets."""

import asyncio
import importlib
import inspect
import re
import subprocess
import sys
from decimal import Decimal
from html.parser import HTMLParser
from types import SimpleNamespace

import ipywidgets
import pytest

import kit
from kit.errors import InvalidInput, UnknownPair
from kit.market.order_book import OrderBook
from kit.notebook import displays
from kit.orders.balances import Balances
from kit.trading.checks import Check
from kit.trading.core_run import StopReport
from kit.trading.switch import TradingState
from kit.trading_core import TradingCore
from kit.types.drawn import Drawn
from kit.types.market import OrderBookSnapshot
from kit.types.orders import Balance
from tests.support.fake_venue import PAIR
from tests.support.stack import LENIENT

SECRET = "very-secret-indeed"
CREDENTIALS = kit.Credentials("the-api-key-itself", SECRET)


class Balanced(HTMLParser):
    """Reads HTML strictly: every tag is closed by its own end."""

    VOID = frozenset({"br", "line", "path", "polyline", "polygon", "hr"})

    def __init__(self, text):
        super().__init__()
        self.open = []
        self.seen = set()
        self.attributes = set()
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.seen.add(tag)


def pictures(thing):
    bundle = thing._repr_mimebundle_()
    return bundle[0] if isinstance(bundle, tuple) else bundle


def checked_html(thing):
    """Return the HTML of a thing, which must need neither script nor style sheet, and its text."""
    shown = pictures(thing)
    html, text = shown["text/html"], shown["text/plain"]
    page = Balanced(html)
    assert page.seen.isdisjoint({"script", "style", "link", "img", "iframe", "button", "input"})
    assert not {name for name in page.attributes if name.startswith("on") or name == "class"}
    assert text.strip()
    assert len(html) < 60_000
    for shown_text in (html, text, repr(thing)):
        assert SECRET not in shown_text
        assert CREDENTIALS.api_key not in shown_text
    return html, text


class Quoter(kit.Strategy):
    class Params(kit.Params):
        amount: Decimal = kit.param("1", gt=0, unit="base", doc="size <of> each order")

    def on_tick(self, timestamp):
        if not self.active_orders:
            self.buy(self.params.amount, "99")


@pytest.fixture
async def core(venue):
    core = TradingCore("<drawn>", tick_size=0.05, guard=False)
    core.disarm_rules = LENIENT
    market = await core.add_connector("binance", [PAIR], mode="live", credentials=CREDENTIALS)
    core.strategy = Quoter(market, PAIR)
    await core.start()
    async with asyncio.timeout(60):
        while not market.in_flight_orders:
            await asyncio.sleep(0.01)
    yield core
    await core.stop()


# -- nothing is left out -----------------------------------------------------------------------------------------------


def test_every_drawer_and_every_class_it_draws_exists():
    for where, drawer in displays.DRAWN.items():
        module, _, name = where.partition(":")
        kind = getattr(importlib.import_module(module), name)
        assert issubclass(kind, Drawn), where
        module, _, name = drawer.partition(":")
        assert callable(getattr(importlib.import_module(f"kit.notebook.{module}"), name)), drawer


def test_every_public_class_has_a_text_of_its_own():
    """Errors, names of values and protocols apart, what is public shows more than its address."""
    kinds = [value for name in kit.__all__ if inspect.isclass(value := getattr(kit, name))]
    assert len(kinds) > 15
    bare = [kind.__name__ for kind in kinds if kind.__repr__ is object.__repr__]
    assert bare == []


async def test_whatever_a_core_hands_out_shows_itself(core):
    market = core["binance"]
    order = next(iter(market.in_flight_orders.values()))
    for thing in (core, market, market[PAIR], core.strategy, core.strategy.params, core.clock, order):
        for name in dir(thing):
            value = None if name.startswith("_") else inspect.getattr_static(thing, name, None)
            if value is None or callable(value):
                continue
            try:
                value = getattr(thing, name)
            except kit.KitError:
                continue
            if not callable(value):
                assert type(value).__repr__ is not object.__repr__, f"{type(thing).__name__}.{name}"


async def test_what_is_drawn_is_drawn_as_html_and_text(core):
    market = core["binance"]
    order = next(iter(market.in_flight_orders.values()))
    strategy = core.strategy
    things = [core, market, market[PAIR], strategy, strategy.params, strategy.params.model, market.balances]
    things += [core.clock, core.switch, market.rule(PAIR), order, order.to_limit_order()]
    for thing in things:
        html, _ = checked_html(thing)
        assert "<b>" in html or "<td" in html, type(thing)


# -- one by one --------------------------------------------------------------------------------------------------------


async def test_a_core_shows_state_connectors_strategy_and_orders(core):
    html, text = checked_html(core)
    assert "core &lt;drawn&gt;" in html
    for said in ("running", "live", "binance", "Quoter", PAIR, "orders of"):
        assert said in html
    assert "Quoter" in text
    assert (await core.stop()).clean
    html, _ = checked_html(core)
    assert "stopped" in html
    assert "add_connector" in html


async def test_a_connector_tells_what_is_missing(core, venue):
    market = core["binance"]
    html, _ = checked_html(market)
    assert "ready" in html
    assert "100.00" in html
    market.trading_refused = "AuthenticationFailed: <no>"
    html, _ = checked_html(market)
    assert "not ready: account" in html
    assert "refused: AuthenticationFailed: &lt;no&gt;" in html


def test_a_book_is_a_ladder_with_bars_also_without_styles():
    book = OrderBook(PAIR)
    assert "no snapshot" in checked_html(book)[0]
    bids, asks = ((99.5, 1.0), (98.0, 2.0)), ((101.0, 1.5),)
    book.apply_snapshot(OrderBookSnapshot(PAIR, 1, 0.0, bids, asks))
    html, text = checked_html(book)
    plain = re.sub("<[^>]*>", " ", html)
    assert "price [USDT]" in plain
    assert "amount [BTC]" in plain
    assert re.findall(r"(ask|bid)\s+(\d+\.\d)", plain) == [("ask", "101.0"), ("bid", "99.5")]
    assert plain.count("█") == 7 + (14 * 1 // 3) + 14
    assert "spread 1.5 USDT" in plain
    assert "bid           99.5" in text
    book.invalidate("a gap")
    assert "out of sync: a gap" in checked_html(book)[0]
    book.apply_snapshot(OrderBookSnapshot(PAIR, 2, 0.0, (), asks))
    assert "101" in checked_html(book)[0]


async def test_an_order_tells_side_amount_state_and_ids(core):
    order = next(iter(core["binance"].in_flight_orders.values()))
    html, _ = checked_html(order)
    plain = re.sub("<[^>]*>", "", html)
    assert "buy 1 BTC at 99 USDT" in plain
    assert "0 BTC (0 %)" in plain
    assert order.client_order_id in plain


def test_balances_line_up_and_name_what_is_in_orders():
    balances = Balances()
    assert "nothing was reported yet" in checked_html(balances)[0]
    balances.replace_all({"BTC": Balance(Decimal(10), Decimal("9.98")), "USDT": Balance(Decimal(5), Decimal(5))})
    cells = re.findall(r"<td[^>]*>(.*?)</td>", checked_html(balances)[0])
    assert cells == ["<b>BTC</b>", "10.00", "9.98", "0.02", "<b>USDT</b>", "5", "5", "—"]


async def test_a_strategy_shows_parameters_pending_ones_too(core):
    core.strategy.params.update(amount="2")
    html, _ = checked_html(core.strategy)
    assert "size &lt;of&gt; each order" in html
    assert "1 BTC" in html
    assert "2 BTC on the next tick" in html
    core.strategy.pause("<tired>")
    assert "paused: &lt;tired&gt;" in checked_html(core.strategy)[0]


async def test_a_market_maker_explains_itself_and_folds_its_defaults(core):
    strategy = kit.PureMarketMaking(core["binance"], PAIR, bid_spread="0.01", ask_spread="0.01", order_amount="0.1")
    html, text = checked_html(strategy)
    assert "Not quoting" in html
    assert "Not quoting" in text
    assert "parameters at their default" in html


def test_reports_of_a_stop():
    html, text = checked_html(StopReport({}, []))
    assert "no order and no task was left" in html
    assert text == "stopped: no order and no task was left"
    html, text = checked_html(StopReport({"binance": ["<1>", "b"]}, ["clock"]))
    assert "2 orders may be open, 1 task" in html
    assert "&lt;1&gt;" in html
    assert "b" in text


def test_the_switch_shows_where_it_stands_and_what_was_checked():
    from kit.notebook.draw_core import draw_switch

    switch = SimpleNamespace(
        state=TradingState.ARMED,
        reason="",
        busy="cancelling <4>",
        last_word="binance: 0 open",
        core=None,
        checks=(Check("clock skew", "binance", "failed", "3 s <ahead>"),),
    )
    html = draw_switch(switch).html
    Balanced(html)
    assert "[armed]" in html
    assert "3 s &lt;ahead&gt;" in html
    assert "cancelling &lt;4&gt;" in html


async def test_guard_recorder_and_session(core, tmp_path):
    guarded = TradingCore("guarded")
    html, _ = checked_html(guarded.guard)
    assert "starts with the first live connector" in html
    recorder = core.record(tmp_path)
    html, _ = checked_html(recorder)
    assert "recording" in html
    assert "BTC/USDT of binance" in html
    await recorder.close()
    assert "stopped" in checked_html(recorder)[0]


async def test_a_test_exchange_shows_no_keys():
    async with await kit.Testnet.start("drawn", flow=False, symbols=("BTC/USDT",)) as testnet:
        html, text = checked_html(testnet)
        assert testnet.url in html
        for secret in (testnet.credentials.secret, testnet.credentials.api_key):
            assert secret not in html + text
    assert "stopped" in checked_html(testnet)[0]


def test_credentials_show_nothing():
    assert repr(CREDENTIALS) == "Credentials()"


# -- where it is shown -------------------------------------------------------------------------------------------------


async def test_in_a_kernel_a_core_is_its_cockpit_and_a_strategy_its_form(core, monkeypatch):
    monkeypatch.setattr(displays, "in_kernel", lambda: True)
    view = "application/vnd.jupyter.widget-view+json"
    try:
        for thing in (core, core.strategy, core.switch):
            shown = pictures(thing)
            assert {view, "text/plain", "text/html"} <= set(shown), thing
            assert pictures(thing)[view] == shown[view], "shown twice, it is one panel"
        assert view not in pictures(core["binance"])
    finally:
        ipywidgets.Widget.close_all()


def test_outside_a_kernel_no_widget_is_loaded_nor_ipython_asked_for():
    assert not displays.in_kernel()
    loaded = {name for name in sys.modules if name.startswith("IPython")}
    displays.in_kernel()
    assert {name for name in sys.modules if name.startswith("IPython")} == loaded


async def test_a_drawing_that_fails_shows_the_text_and_logs(core, monkeypatch, caplog):
    monkeypatch.setitem(displays.DRAWN, "kit.market.order_book:OrderBook", "draw_market:draw_rule")
    book = core["binance"][PAIR]
    assert pictures(book) == {"text/plain": repr(book)}
    assert "cannot be drawn" in caplog.text


async def test_from_another_thread_it_is_drawn_on_the_cores_loop(core):
    html = await asyncio.to_thread(lambda: pictures(core)["text/html"])
    assert "running" in html


def test_what_notebooks_ask_of_all_they_show_does_not_load_every_exchange_of_ccxt():
    code = (
        "import sys\n"
        "from kit.connectors.ccxt_lazy import install\n"
        "install()\n"
        "import ccxt\n"
        "before = len(sys.modules)\n"
        "print([hasattr(ccxt, name) for name in ('_repr_html_', '_ipython_display_')], len(sys.modules) - before)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[False, False] 0"


# -- by name -----------------------------------------------------------------------------------------------------------


async def test_parts_are_had_by_name(core):
    market = core["binance"]
    assert market is core.connectors["binance"]
    assert market[PAIR] is market["btc-usdt"] is market.get_order_book(PAIR)
    assert "binance" in core
    assert "kraken" not in core
    assert "BTC-USDT" in market
    assert "nonsense" not in market
    assert list(core) == core._ipython_key_completions_() == ["binance"]
    assert list(market) == market._ipython_key_completions_() == [PAIR]
    assert market.balances["BTC"] == Balance(Decimal(10), market.balances.available("BTC"))
    assert "USDT" in market.balances._ipython_key_completions_()


async def test_wrong_names_are_answered_with_the_likely_one(core):
    market = core["binance"]
    with pytest.raises(InvalidInput, match=r"'binanse'; did you mean 'binance'\?; there are binance"):
        core["binanse"]
    with pytest.raises(UnknownPair, match=r"'BTC/USD'; did you mean 'BTC/USDT'\?; it streams BTC/USDT"):
        market["BTC/USD"]
    with pytest.raises(InvalidInput, match=r"did you mean 'USDT'"):
        market.balances["USD"]
    with pytest.raises(InvalidInput, match="add one with"):
        TradingCore("empty")["binance"]


# -- what a first panel and a first figure load ------------------------------------------------------------------------


async def test_in_a_kernel_panels_and_figures_are_loaded_while_connecting_and_elsewhere_not():
    code = (
        "import asyncio, sys, types, kit\n"
        "from kit.types.drawn import warm\n"
        "warm()\n"
        "print('plotly' in sys.modules, 'IPython' in sys.modules)\n"
        "import IPython, ipykernel\n"
        "IPython.get_ipython = lambda: types.SimpleNamespace(kernel=object())\n"
        "warm()\n"
        "from kit.notebook.warming import warm_up\n"
        "thread = warm_up()\n"
        "thread.join(500)\n"
        "print(thread is warm_up(), thread.daemon)\n"
        "print('kit.notebook.widgets' in sys.modules, 'plotly.io._renderers' in sys.modules)\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    told, _ = await asyncio.wait_for(process.communicate(), 600)
    assert told.decode().split() == ["False", "False", "True", "True", "True", "True"]


async def test_the_history_of_a_core_that_runs_in_a_thread_is_had_from_here(venue):
    core = TradingCore("threaded", tick_size=0.05, guard=False, loop="thread")
    core.disarm_rules = LENIENT
    market = await core.add_connector("binance", [PAIR], mode="live", credentials=CREDENTIALS)
    core.strategy = Quoter(market, PAIR)
    await core.start()
    async with asyncio.timeout(60):
        while not len(core.pnl_history):
            await asyncio.sleep(0.05)
    assert core.pnl_history["trading_pair"].tolist()[:1] == [PAIR]
    assert core.plot_pnl().layout.title.text.startswith(PAIR)
    for thing in (core, market, market[PAIR], core.strategy, market.balances):
        checked_html(thing)
    assert (await core.stop()).clean
    assert len(core.pnl_history) >= 1
