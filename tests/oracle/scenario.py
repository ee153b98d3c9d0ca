"""Plays one scenario of the reference against our strategy on the mock market, on a backtest clock."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar

from kit.core.clock import Clock, ClockMode
from kit.strategy.own_orders import OwnOrder
from kit.strategy.pure_market_making import PureMarketMaking
from kit.types.events import MarketEvent, OrderFilledEvent
from kit.types.market import TradeType
from tests.oracle.parameters import number, parameters
from tests.support.mock_market import MockBook, MockMarket

D = Decimal
DEFAULT_PAIR = "HBOT-ETH"
DEFAULT_BALANCES = {"HBOT": "500", "ETH": "5000"}
DEFAULT_BOOK = {"mid": "100", "min": "1", "max": "200", "step": "1", "vol": "10"}


class Player:
    """The steps of a scenario as methods; ``states`` is the trace so far, with exact decimals."""

    market_type: ClassVar[type[MockMarket]] = MockMarket

    def __init__(self, scenario: Mapping[str, Any]) -> None:
        pair = (scenario.get("pair") or DEFAULT_PAIR).replace("-", "/")
        given = scenario.get("balances")
        balances = {asset: number(amount) for asset, amount in (DEFAULT_BALANCES if given is None else given).items()}
        maker, taker = scenario.get("fee") or (0, 0)
        book = {**DEFAULT_BOOK, **(scenario.get("book") or {})}
        self.market = self.market_type(
            pair,
            balances,
            book=MockBook.balanced(*(number(book[key]) for key in DEFAULT_BOOK)),
            fee=(number(maker), number(taker)),
            digits=tuple(scenario.get("quant") or (6, 6, 6, 6))[1::2],
        )
        self.config = dict(scenario["config"])
        self._changed = False
        self.strategy = self._make_strategy()
        self.clock = Clock(ClockMode.BACKTEST)
        self.clock.add_iterator(self.market)
        self.clock.add_iterator(self.strategy)
        self.time = 0
        self.states: list[dict[str, Any]] = []
        self._aliases: dict[str, int] = {}
        self._events: list[list[Any]] = []
        self._errors_told = 0
        self.market.pubsub.add_listener(MarketEvent.OrderCancelled, lambda _: self._events.append(["OrderCancelled"]))
        self.market.pubsub.add_listener(MarketEvent.OrderFilled, self._filled)

    def _make_strategy(self) -> PureMarketMaking:
        return PureMarketMaking(self.market, self.market.pair, **parameters(self.config))

    def _filled(self, event: OrderFilledEvent) -> None:
        self._events.append(["OrderFilled", event.price, event.amount, event.trade_type.name])

    def play(self, steps: list[list[Any]]) -> list[dict[str, Any]]:
        for name, *args in steps:
            if name not in STEPS:
                raise ValueError(f"unknown step {name!r}; known: {', '.join(STEPS)}")
            getattr(self, f"_{name}")(*args)
            if name != "til":
                self._record(after=name)
        return self.states

    # -- steps

    def _til(self, end: int) -> None:
        while self.time < end:
            self._apply_changes()
            self.time += 1
            self.clock.backtest_til(self.time)
            self._record()

    def _trade(self, side: str, price: Any, amount: Any) -> None:
        self.market.trade(TradeType[side], number(price))

    def _diffs(self, bids: list[Any], asks: list[Any]) -> None:
        self.market.book.apply(*([(number(price), number(size)) for price, size in side] for side in (bids, asks)))

    def _book(self, *numbers: Any) -> None:
        self.market.book = MockBook.balanced(*map(number, numbers))

    def _balance(self, asset: str, amount: Any) -> None:
        self.market.balances[asset] = number(amount)

    def _cancel(self, side: str, index: int) -> None:
        orders = self.strategy.active_buys if side == "buy" else self.strategy.active_sells
        if index < len(orders):
            self.strategy.cancel(orders[index].client_order_id)

    def _set(self, name: str, value: Any) -> None:
        self.config[name] = value
        self._changed = True

    def _apply_changes(self) -> None:
        """Give the strategy what was set since the last tick as one change: what passes in between need not fit."""
        if self._changed:
            self._changed = False
            self.strategy.params.update(parameters(self.config))

    # -- states

    def _alias(self, order_id: str) -> int:
        return self._aliases.setdefault(order_id, len(self._aliases) + 1)

    def _record(self, after: str | None = None) -> None:
        hanging = self.strategy.hanging_orders

        def row(order: OwnOrder) -> list[Any]:
            mark = ["hang"] if order in hanging else []
            return [self._alias(order.client_order_id), order.price, order.quantity, *mark]

        state: dict[str, Any] = {
            "t": self.time,
            "buys": [row(order) for order in self.strategy.active_buys],
            "sells": [row(order) for order in self.strategy.active_sells],
            "market_orders": [
                [self._alias(order.order_id), order.price, order.amount] for order in self.market.orders.values()
            ],
            "events": self._events,
            "balances": dict(self.market.balances),
        }
        errors = self.strategy.health.total_errors
        if errors > self._errors_told:
            self._errors_told = errors
            state["errors"] = [str(self.strategy.last_error)]
        if after is not None:
            state["after"] = after
        self.states.append(state)
        self._events = []


STEPS = ("til", "trade", "diffs", "book", "balance", "cancel", "set")


def play(scenario: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return our trace of a scenario."""
    return Player(scenario).play(scenario["steps"])


def as_text(value: Any) -> Any:
    """A trace as the reference writes it: numbers as texts, without an exponent."""
    if isinstance(value, dict):
        return {key: as_text(part) for key, part in value.items()}
    if isinstance(value, list):
        return [as_text(part) for part in value]
    return f"{value.normalize():f}" if isinstance(value, Decimal) else value


def exact(value: Any) -> Any:
    """A trace with texts that are numbers as decimals, so that trailing zeros do not matter."""
    if isinstance(value, dict):
        return {key: exact(part) for key, part in value.items()}
    if isinstance(value, list):
        return [exact(part) for part in value]
    if isinstance(value, str):
        try:
            return D(value)
        except ArithmeticError:
            return value
    return value


def first_difference(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> tuple[int, str] | None:
    """Return the index of the first state that differs, and both readings of what differs in it."""
    for index, (mine, its) in enumerate(zip(exact(ours), exact(theirs), strict=False)):
        for key in ("t", "after", "buys", "sells", "market_orders", "events", "balances", "errors"):
            if mine.get(key) != its.get(key):
                where = f"t={its.get('t')}" + (f" after {its['after']}" if "after" in its else "")
                return index, f"{where}: {key}: {as_text(mine.get(key))} instead of {as_text(its.get(key))}"
    if len(ours) != len(theirs):
        return min(len(ours), len(theirs)), f"{len(ours)} states instead of {len(theirs)}"
    return None
