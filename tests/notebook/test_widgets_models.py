"""What the panels show and do: frames, commands and the pictures for places without a widget manager."""

import json
from array import array
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from types import SimpleNamespace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, field_validator, model_validator

import kit
from kit.core.affinity import LoopAffinity
from kit.core.network_iterator import NetworkStatus
from kit.errors import InvalidInput, NotSupported, OrderNotFound
from kit.market.order_book import OrderBook
from kit.notebook.controls_model import ControlsModel
from kit.notebook.depth_model import DepthModel
from kit.notebook.ladder_model import LadderModel
from kit.notebook.orders_model import OrdersModel
from kit.notebook.param_text import ParamText
from kit.orders.in_flight_order import InFlightOrder
from kit.strategy.live_params import apply_pending, start_queueing
from kit.types.market import OrderBookSnapshot, TradeType, TradingRule
from kit.types.orders import OrderState, OrderType, OrderUpdate, TradeUpdate

D = Decimal
PAIR = "BTC/USDT"


@dataclass
class Market:
    """As much of a connector as panels read."""

    name: str = "binance"
    affinity: LoopAffinity = field(default_factory=lambda: LoopAffinity(None))
    network_status: NetworkStatus = NetworkStatus.CONNECTED
    synced: bool = True
    stale: bool = False
    in_flight_orders: dict[str, InFlightOrder] = field(default_factory=dict)
    cancelled: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self):
        self.book = OrderBook(PAIR)
        self.trading_rules = {PAIR: TradingRule(PAIR, "BTC", "USDT", D("0.01"), D("0.001"))}
        self.order_book_tracker = SimpleNamespace(status=lambda pair: self)
        self.set_book(((99.0, 1.0), (98.0, 2.0), (97.0, 3.0)), ((101.0, 1.5), (102.0, 2.5)))

    def set_book(self, bids, asks):
        self.book.apply_snapshot(OrderBookSnapshot(PAIR, self.book.update_id + 1, 0.0, bids, asks))

    def get_order_book(self, pair):
        assert pair == PAIR
        return self.book

    def cancel(self, pair, order_id):
        self.cancelled.append((pair, order_id))

    def add(self, order_id, price, trade_type=TradeType.BUY, pair=PAIR, amount="0.5", created=1.0):
        self.in_flight_orders[order_id] = InFlightOrder(
            client_order_id=order_id,
            trading_pair=pair,
            trade_type=trade_type,
            order_type=OrderType.LIMIT if price else OrderType.MARKET,
            amount=D(amount),
            price=D(price) if price else None,
            creation_timestamp=created,
            progress=OrderState.OPEN,
        )
        return self.in_flight_orders[order_id]


@pytest.fixture
def market():
    return Market()


# -- depth -------------------------------------------------------------------------------------------------------------


def test_a_depth_frame_is_cumulative_and_binary(market):
    market.add("a", "98")
    frame = DepthModel(market, PAIR).frame(full=True)
    values = array("f")
    values.frombytes(frame.buffers[0])
    assert frame.content["reference"] == 100.0
    assert list(values) == [-1, -2, -3, 1, 3, 6, 1, 2, 1.5, 4]
    assert (frame.content["bids"], frame.content["asks"]) == (3, 2)
    assert frame.content["marks"] == [[98.0, "0.5 @ 98", True, "open"]]
    assert (frame.content["mid"], frame.content["spread"]) == ("100.000", "2.00")
    json.dumps(frame.content)


def test_depth_of_200_levels_is_small(market):
    market.set_book(
        tuple((60_000 - step / 100, 1.0) for step in range(1, 300)),
        tuple((60_000 + step / 100, 1.0) for step in range(300)),
    )
    frame = DepthModel(market, PAIR).frame(full=True)
    assert len(frame.buffers[0]) == 3200
    assert len(json.dumps(frame.content)) < 500


@pytest.mark.parametrize("model", [DepthModel, LadderModel])
def test_a_book_panel_sends_only_what_changed(market, model):
    panel = model(market, PAIR)
    assert panel.frame(full=False)
    assert panel.frame(full=False) is None
    assert panel.frame(full=True)
    market.set_book(((99.5, 1.0),), ((101.0, 1.5),))
    assert panel.frame(full=False)
    assert panel.frame(full=False) is None
    market.add("a", "99.5")
    assert panel.frame(full=False)


@pytest.mark.parametrize("model", [DepthModel, LadderModel])
def test_a_book_that_is_not_to_be_trusted_says_so(market, model):
    panel = model(market, PAIR)
    market.stale = True
    assert panel.frame(full=False).content["state"] == "stale"
    market.synced = False
    assert panel.frame(full=False).content["state"] == "waiting for a snapshot"
    market.network_status = NetworkStatus.NOT_CONNECTED
    assert panel.frame(full=False).content["state"] == "no connection"
    assert not panel.ended
    market.network_status = NetworkStatus.STOPPED
    assert panel.frame(full=False).content["state"] == "stopped"
    assert panel.ended


@pytest.mark.parametrize("model", [DepthModel, LadderModel])
@pytest.mark.parametrize("side", ["bids", "asks", "both"])
def test_empty_sides_are_no_error(market, model, side):
    book = {"bids": ((99.0, 1.0),), "asks": ((101.0, 1.0),)}
    market.set_book(() if side != "asks" else book["bids"], () if side != "bids" else book["asks"])
    panel = model(market, PAIR)
    content = panel.frame(full=True).content
    assert content["mid"] == "—"
    json.dumps(content, allow_nan=False)
    assert panel.text()
    assert panel.html()


@pytest.mark.parametrize("model", [DepthModel, LadderModel])
def test_levels_are_checked_and_commands_refused(market, model):
    for levels in (0, -1, 10_000):
        with pytest.raises(InvalidInput, match=f"levels is {levels}"):
            model(market, PAIR, levels)
    with pytest.raises(NotSupported):
        model(market, PAIR).command({"do": "cancel"})


def test_the_fallbacks_of_depth(market):
    market.add("a", "98")
    panel = DepthModel(market, PAIR)
    assert panel.text() == (
        "depth of BTC/USDT: 99.00 / 101.00 USDT; 6.000 BTC bid, 4.000 asked on 3 and 2 levels; 1 own order"
    )
    assert panel.html().startswith("<svg")
    assert panel.html().count("<polygon") == 2
    assert panel.html().count("<path") == 1


# -- ladder ------------------------------------------------------------------------------------------------------------


def test_the_ladder_adds_own_orders_up_by_price_and_side(market):
    market.add("a", "98")
    market.add("b", "98", amount="0.25")
    market.add("c", "98", TradeType.SELL)
    market.add("d", "101", TradeType.SELL)
    market.add("e", "98", pair="ETH/USDT")
    content = LadderModel(market, PAIR, 2).frame(full=True).content
    assert content["bids"] == [["99.00", "1.000", "1.000", 250, ""], ["98.00", "2.000", "3.000", 750, "0.75"]]
    assert content["asks"] == [["101.00", "1.500", "1.500", 375, "0.5"], ["102.00", "2.500", "4.000", 1000, ""]]


def test_the_ladder_as_text_has_asks_above_bids(market):
    text = LadderModel(market, PAIR, 2).text().splitlines()
    assert [line.split()[0] for line in text[1:]] == ["102.00", "101.00", "—", "99.00", "98.00"]
    assert LadderModel(market, PAIR).html().count("<tr>") == 1 + 2 + 1 + 3


# -- orders ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def core(market):
    return SimpleNamespace(
        name="main",
        in_use=True,
        affinity=market.affinity,
        connectors={"binance": market},
        clock=SimpleNamespace(time=lambda: 100.0),
    )


def test_orders_send_changed_rows_only(market, core):
    panel = OrdersModel(core)
    market.add("b", "99", created=2.0)
    first = market.add("a", "98", created=1.0)
    frame = panel.frame(full=True)
    assert list(frame.content["rows"]) == ["binance/a", "binance/b"]
    assert frame.content["rows"]["binance/a"] == ["binance", PAIR, "buy", "98.00", "0.500", "0", "open", 1.0, ""]
    assert panel.frame(full=False) is None
    first.cancel_requested = True
    frame = panel.frame(full=False)
    assert (list(frame.content["rows"]), frame.content["gone"], frame.full) == (["binance/a"], [], False)
    assert frame.content["rows"]["binance/a"][6] == "pending cancel"
    del market.in_flight_orders["a"]
    market.add("c", None, TradeType.SELL)
    frame = panel.frame(full=False)
    assert (list(frame.content["rows"]), frame.content["gone"]) == (["binance/c"], ["binance/a"])
    assert frame.content["rows"]["binance/c"][3] == "market"


def test_orders_are_cancelled_by_row(market, core):
    panel = OrdersModel(core)
    market.add("a", "98")
    assert panel.command({"do": "cancel", "row": "binance/a"}) == {"text": "cancel of buy 0.5 BTC/USDT was sent"}
    assert market.cancelled == [(PAIR, "a")]
    for row in ("binance/b", "kraken/a", "a"):
        with pytest.raises(OrderNotFound):
            panel.command({"do": "cancel", "row": row})
    for message in ({"do": "cancel"}, {"do": "cancel", "row": 5}):
        with pytest.raises(InvalidInput):
            panel.command(message)
    with pytest.raises(NotSupported):
        panel.command({"do": "cancel_all"})
    assert len(market.cancelled) == 1


def ends(state, filled=None, reason=""):
    def end(order):
        if filled is not None:
            trade = TradeUpdate("1", PAIR, 1.0, D(98), D(filled), D(98) * D(filled), client_order_id="a")
            order.update_with_trade_update(trade)
        order.update_with_order_update(OrderUpdate(PAIR, state, 1.0, client_order_id="a", reason=reason))

    return end


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (ends(OrderState.CANCELED), "buy 0.5 BTC/USDT was cancelled"),
        (ends(OrderState.CANCELED, "0.2"), "buy 0.5 BTC/USDT was cancelled; 0.2 of it had been filled"),
        (ends(OrderState.FILLED, "0.5"), "buy 0.5 BTC/USDT was filled before the cancel took effect"),
        (ends(OrderState.CANCELED, "0.5"), "buy 0.5 BTC/USDT was filled before the cancel took effect"),
        (ends(OrderState.EXPIRED), "buy 0.5 BTC/USDT had expired"),
        (lambda order: order.mark_lost("unknown"), "buy 0.5 BTC/USDT has failed: unknown"),
    ],
)
def test_a_cancel_ends_with_what_became_of_it(market, core, end, text):
    panel = OrdersModel(core)
    order = market.add("a", "98")
    assert panel.frame(full=True).content["said"] is None
    panel.command({"do": "cancel", "row": "binance/a"})
    order.cancel_requested = True
    assert panel.frame(full=False).content["said"] is None
    end(order)
    del market.in_flight_orders["a"]
    assert panel.frame(full=False).content["said"] == {"number": 1, "text": text, "ok": True}
    assert panel.frame(full=False) is None
    market.add("b", "97")  # one that somebody else cancels is not told
    panel.frame(full=False)
    del market.in_flight_orders["b"]
    assert panel.frame(full=False).content["said"]["number"] == 1


def test_a_cancel_that_is_refused_is_told_and_followed_to_its_end(market, core):
    panel = OrdersModel(core)
    order = market.add("a", "98")
    panel.frame(full=True)
    panel.command({"do": "cancel", "row": "binance/a"})
    order.cancel_requested = True
    panel.frame(full=False)
    order.cancel_failed()
    said = panel.frame(full=False).content["said"]
    text = "the cancel of buy 0.5 BTC/USDT was not taken, and it is asked for again; the log tells more"
    assert said == {"number": 1, "text": text, "ok": False}
    order.cancel_requested = True
    assert panel.frame(full=False).content["said"] == said
    ends(OrderState.CANCELED)(order)
    del market.in_flight_orders["a"]
    assert panel.frame(full=False).content["said"]["text"] == "buy 0.5 BTC/USDT was cancelled"


def test_orders_of_a_stopped_core(market, core):
    panel = OrdersModel(core)
    assert panel.html() == "<div>orders of main: 0 open</div>"
    market.add("<b>", "98")
    assert "main: 1 open\nbuy 0.500 BTC/USDT @ 98.00" in panel.text()
    core.in_use, core.connectors = False, {}
    assert panel.ended
    assert panel.frame(full=True).content["state"] == "stopped"


# -- parameters --------------------------------------------------------------------------------------------------------


class Mood(Enum):
    CALM = "calm"
    BOLD = "bold"


class Quoter(kit.Strategy):
    class Params(kit.Params):
        spread: Decimal = kit.param("0.001", gt=0, lt="0.05", step="0.0001", unit="fraction", doc="distance from mid")
        width: Decimal = kit.param("0.01", gt=0, lt=1, unit="fraction")
        levels: int = kit.param(2, ge=1, le=10, step=1)
        pause: float | None = kit.param(None, gt=0, unit="s")
        sizes: tuple[Decimal, ...] | None = kit.param(None, gt=0, unit="base")
        shares: tuple[Decimal, ...] = kit.param(("0.5", "0.25"), gt=0, unit="fraction")
        mood: Mood = kit.param(Mood.CALM)
        side: Literal["buy", "sell"] = kit.param("buy")
        quick: bool = kit.param(False)
        note: str = kit.param("")
        key: SecretStr = kit.param(SecretStr("hidden"))

        @model_validator(mode="after")
        def _together(self):
            if self.spread > self.width:
                raise ValueError(f"spread {self.spread} is above width {self.width}")
            return self


@pytest.fixture
def strategy():
    return Quoter()


@pytest.fixture
def form(strategy):
    return ControlsModel(strategy)


def enter(form, **values):
    return form.command({"do": "apply", "values": values})


def test_every_parameter_gets_its_kind_of_input(form):
    content = form.frame(full=True).content
    fields = {entry["name"]: entry for entry in content["fields"]}
    assert {name: entry["input"] for name, entry in fields.items()} == {
        "spread": "number",
        "width": "number",
        "levels": "number",
        "pause": "number",
        "sizes": "list",
        "shares": "list",
        "mood": "choice",
        "side": "choice",
        "quick": "toggle",
        "note": "text",
        "key": "fixed",
    }
    assert (fields["spread"]["unit"], fields["spread"]["doc"]) == ("%", "distance from mid")
    assert fields["spread"]["allowed"] == "a number above 0 % and below 5 %"
    assert fields["pause"]["allowed"] == "a number above 0 s; empty is off"
    assert fields["mood"]["choices"] == ["calm", "bold"]
    assert fields["levels"]["default"] == "2"
    assert content["values"]["spread"] == "0.1"
    assert content["values"]["shares"] == "50, 25"
    assert content["values"]["pause"] == ""
    assert content["sliders"]["levels"] == {"min": 1.0, "max": 10.0, "step": 1.0}
    assert content["sliders"]["width"] is None  # it has no step
    assert "hidden" not in json.dumps(content) + form.text() + form.html()


def test_texts_are_applied_as_one_set(form, strategy):
    answer = enter(
        form,
        spread="0.25",
        levels="3",
        pause="1.5",
        sizes="0.1, 0.2",
        mood="bold",
        side="sell",
        quick="true",
        note="hi",
    )
    assert answer == {"text": "applied"}
    params = strategy.params
    assert params.spread == D("0.0025")
    assert (params.levels, params.pause, params.sizes) == (3, 1.5, (D("0.1"), D("0.2")))
    assert (params.mood, params.side, params.quick, params.note) == (Mood.BOLD, "sell", True, "hi")
    assert enter(form, pause="", sizes=" ") == {"text": "applied"}
    assert (params.pause, params.sizes) == (None, None)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("spread", "abc", "'abc' is not a number; enter a number above 0 % and below 5 %"),
        ("spread", "", "is empty"),
        ("spread", "nan", "not a number"),
        ("spread", "5", "5 is out of range; enter a number above 0 % and below 5 %"),
        ("spread", "0", "out of range"),
        ("spread", "-1e3", "out of range"),
        ("levels", "2.5", "not a whole number"),
        ("levels", "11", "out of range"),
        ("pause", "0", "out of range"),
        ("spread", "1e9999999", "out of range"),
        ("levels", "1e9999999", "out of range"),
        ("sizes", "1e400", "out of range"),
        ("sizes", "1,,2", "is empty"),
        ("sizes", "1, x", "'x' is not a number"),
        ("mood", "wild", "none of calm, bold"),
        ("quick", "perhaps", "neither on nor off"),
        ("key", "stolen", "cannot be changed here"),
        ("nonsense", "1", "no parameter"),
    ],
)
def test_wrong_input_is_told_beside_its_field_and_nothing_is_applied(form, strategy, name, text, problem):
    before = strategy.params.model
    answer = enter(form, note="kept out", **{name: text})
    assert not answer["ok"]
    assert problem in answer["errors"][name]
    assert list(answer["errors"]) == [name]
    assert strategy.params.model is before
    assert not strategy.params.pending


def test_a_rule_of_several_parameters_is_told_beside_each(form, strategy):
    answer = enter(form, spread="2")
    assert not answer["ok"]
    assert set(answer["errors"]) == {"spread", "width"}
    assert "spread 2 % is above width 1 %" in answer["text"]
    assert answer["errors"]["width"].endswith("spread 2 % is above width 1 %")
    assert strategy.params.spread == D("0.001")
    assert enter(form, spread="2", width="3") == {"text": "applied"}


class Making(kit.Strategy):
    Params = kit.PureMarketMaking.Params


def refused(changes, **values):
    """Return what the form of pure market making says to values that make no sense together."""
    plain = {"bid_spread": "0.001", "ask_spread": "0.001", "order_amount": "0.01", **changes}
    form = ControlsModel(Making(**plain), [*values])
    answer = enter(form, **values)
    assert not answer["ok"]
    return answer


def test_refusals_of_a_set_speak_as_the_form_does():
    text = refused({}, bid_spread="-0.15")["errors"]["bid_spread"]
    assert text.startswith("PureMarketMaking: bid_spread = -0.15 % is not above 0, so the order would cross")
    text = refused({"price_floor": 100}, price_ceiling="99.5")["errors"]["price_ceiling"]
    assert "price_ceiling 99.5 is below price_floor 100" in text
    assert "or off for one of them" in text
    text = refused({}, price_ceiling_pct="-2")["text"]
    assert "price_ceiling_pct -2 % is below price_floor_pct -1 %" in text
    text = refused({"order_level_spread": "0.1"}, bid_spread="10", order_levels="10")["text"]
    assert "bid_spread 10 % and 9 times order_level_spread 10 % make up the whole price" in text


def test_a_refusal_of_one_value_by_a_rule_of_its_own_speaks_as_the_form_does():
    class Odd(kit.Strategy):
        class Params(kit.Params):
            spread: Decimal | None = kit.param("0.01", gt=0, lt="0.05", unit="fraction")
            mood: Literal["calm", "bold"] | None = kit.param(None)

            @field_validator("spread")
            @classmethod
            def _odd(cls, value):
                if value == D("0.02"):
                    raise ValueError("is not liked")
                return value

    form = ControlsModel(Odd())
    told = "spread = 2 % is not liked; allowed: a number above 0 % and below 5 %; empty is off"
    assert enter(form, spread="2")["errors"]["spread"].endswith(told)
    fields = {entry["name"]: entry for entry in form.frame(full=True).content["fields"]}
    assert fields["mood"]["allowed"] == "one of 'calm', 'bold'; empty is off"


def test_changes_wait_for_the_tick_and_code_shows_at_once(form, strategy):
    form.frame(full=True)
    assert form.frame(full=False) is None
    start_queueing(strategy.params)
    assert enter(form, spread="0.2") == {"text": "applies on the next tick"}
    content = form.frame(full=False).content
    assert (content["values"]["spread"], content["pending"]) == ("0.1", {"spread": "0.2"})
    apply_pending(strategy.params)
    content = form.frame(full=False).content
    assert (content["values"]["spread"], content["pending"]) == ("0.2", {})
    strategy.params.update(levels=5)
    assert form.frame(full=False).content["pending"] == {"levels": "5"}
    assert "fields" not in content


def test_bad_messages_are_refused(form):
    with pytest.raises(InvalidInput):
        form.command({"do": "apply"})
    with pytest.raises(NotSupported):
        form.command({"do": "erase"})


def test_only_some_parameters_in_the_order_asked_for(strategy):
    form = ControlsModel(strategy, ["levels", "spread"])
    content = form.frame(full=True).content
    assert [entry["name"] for entry in content["fields"]] == ["levels", "spread"]
    assert all(entry["main"] for entry in content["fields"])
    assert "errors" in enter(form, note="x")
    with pytest.raises(InvalidInput, match="did you mean 'spread'"):
        ControlsModel(strategy, ["spred"])


def test_pure_market_making_fits_and_shows_what_was_set():
    fields = kit.PureMarketMaking.Params.describe()
    values = kit.PureMarketMaking.Params(bid_spread="0.001", ask_spread="0.001", order_amount="0.01").values()
    for entry in fields:
        text = ParamText(entry)
        if text.input != "fixed":
            assert text.read(text.write(values[entry.name])) == values[entry.name], entry.name
    spread = ParamText(fields[0])
    assert spread.slider(values["bid_spread"]) == {"min": 0.0, "max": 0.5, "step": 0.01}


@given(st.decimals(min_value=D("0.0001"), max_value=D("0.0499"), places=6, allow_nan=False))
def test_percent_is_exact_both_ways(value):
    text = ParamText(Quoter.Params.describe()[0])
    assert text.read(text.write(value)) == value
    slider = text.slider(value)
    assert slider is None or slider["min"] <= float(value) * 100 * (1 + 1e-12)
