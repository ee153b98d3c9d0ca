"""Pure market making once more, from the reference's description alone and as short as it goes.

It shares no code with ``kit.strategy``, reads the reference's configuration by itself, and does right where the
reference is defective. Our strategy must play as it does wherever the reference's trace does not bind, and on scenarios
that somebody makes up. It knows the parameters that scenarios have, not those of prices from elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from types import SimpleNamespace
from typing import Any

from kit.core.time_iterator import TimeIterator
from kit.types.events import MarketEvent
from kit.types.market import PriceType
from kit.types.orders import OrderType
from tests.oracle.parameters import number
from tests.oracle.scenario import Player
from tests.oracle.traces import Scenario, Trace
from tests.support.mock_market import MockMarket

D = Decimal
Level = tuple[Decimal, Decimal]
PRICE_TYPES = {kind.value: kind for kind in PriceType}


@dataclass(eq=False)
class ModelOrder:
    client_order_id: str
    is_buy: bool
    price: Decimal
    quantity: Decimal
    born: float
    filled: bool = False
    gone: bool = False


class Model(TimeIterator):
    """The strategy; §2.2 and §2.3 of the description give the steps and the numbers of the formulas."""

    def __init__(self, market: MockMarket, config: Mapping[str, Any]) -> None:
        super().__init__("model")
        self.market, self.pair, self.config = market, market.pair, config
        self.orders: list[ModelOrder] = []
        self.hanging_orders: list[ModelOrder] = []
        self.pairs: list[tuple[ModelOrder, ModelOrder]] = []
        self.create_at = self.cancel_at = self.paused_until = self.banded_at = -math.inf
        self.bought = self.sold = 0
        self.own_price = self.band_price = D("NaN")
        self.health = SimpleNamespace(total_errors=0)
        for tag in (MarketEvent.BuyOrderCompleted, MarketEvent.SellOrderCompleted):
            market.pubsub.add_listener(tag, self.filled)
        market.pubsub.add_listener(MarketEvent.OrderCancelled, lambda event: self.leave(event.order_id))

    # -- settings and state

    def number(self, name: str, default: Any = 0) -> Decimal:
        value = self.config.get(name)
        return D(str(default if value is None else value))

    def on(self, name: str) -> bool:
        return bool(self.config.get(name))

    @property
    def active_buys(self) -> list[ModelOrder]:
        return [order for order in self.orders if order.is_buy]

    @property
    def active_sells(self) -> list[ModelOrder]:
        return [order for order in self.orders if not order.is_buy]

    @property
    def quotes(self) -> list[ModelOrder]:
        return [order for order in self.orders if order not in self.hanging_orders]

    @property
    def widows(self) -> list[ModelOrder]:
        """Whose partner has filled."""
        found = [b if a.filled else a for a, b in self.pairs if a.filled is not b.filled]
        return [order for order in found if not order.gone]

    def cancel(self, client_order_id: str) -> None:
        self.market.cancel(self.pair, client_order_id)

    def cancel_each(self, orders: list[ModelOrder]) -> None:
        for order in orders:
            self.cancel(order.client_order_id)

    def leave(self, order_id: str) -> ModelOrder:
        order = next(order for order in self.orders if order.client_order_id == order_id)
        order.gone = True
        self.orders.remove(order)
        return order

    def filled(self, event: Any) -> None:
        order = self.leave(event.order_id)
        order.filled = True
        if order in self.hanging_orders:
            return
        self.create_at = self.paused_until = self.current_timestamp + float(self.number("filled_order_delay", 60))
        self.cancel_at = min(self.cancel_at, self.create_at)
        self.own_price = order.price
        if self.on("ping_pong_enabled"):
            self.bought += order.is_buy
            self.sold += not order.is_buy

    # -- the tick

    def tick(self, timestamp: float) -> None:
        super().tick(timestamp)
        if not self.on("hanging_orders_enabled"):
            self.hanging_orders, self.pairs = [], []
        if not self.on("ping_pong_enabled"):
            self.bought = self.sold = 0
        if not self.config.get("moving_price_band"):
            self.banded_at = -math.inf
        price = self.reference()
        if price.is_nan():
            self.withdraw(timestamp)
            return
        proposal = self.proposal(price, timestamp) if self.create_at <= timestamp else None
        self.tend_hanging(price, timestamp)
        self.cancel_quotes(price, timestamp, proposal)
        if proposal is not None and self.create_at < timestamp and not set(self.quotes) - set(self.widows):
            self.place_all(proposal, timestamp)

    def withdraw(self, now: float) -> None:
        """Cancel, and quote again as soon as there is a price; only the pause after a fill counts on."""
        if self.orders:
            self.cancel_each(list(self.orders))
            self.create_at = min(self.create_at, max(now, self.paused_until))
            self.cancel_at = min(self.cancel_at, self.create_at)

    def reference(self) -> Decimal:
        kind = PRICE_TYPES[self.config.get("price_type", "mid_price")]
        own = kind is PriceType.LastOwnTrade
        price = self.own_price if own else self.market.get_price_by_type(self.pair, kind)
        return self.market.get_mid_price(self.pair) if price.is_nan() else price

    def tend_hanging(self, price: Decimal, now: float) -> None:
        limit, age = self.number("hanging_orders_cancel_pct", "0.1"), float(self.number("max_order_age", 1800))
        far = [order for order in self.hanging_orders if not order.gone and abs(order.price - price) / price > limit]
        self.cancel_each(far)
        self.hanging_orders = [order for order in self.hanging_orders if not order.gone]
        for order in [order for order in self.hanging_orders if now - order.born > age]:
            self.cancel(order.client_order_id)
            self.hanging_orders.remove(order)
            self.hanging_orders.append(self.place(order.is_buy, (order.price, order.quantity), now))

    def cancel_quotes(self, price: Decimal, now: float, proposal: tuple[list[Level], list[Level]] | None) -> None:
        if any(now - order.born > self.number("max_order_age", 1800) for order in self.quotes):
            self.cancel_each(self.quotes)
        if self.quotes and self.cancel_at <= now and not self.may_stay(proposal):
            self.hanging_orders += self.widows
            self.pairs = []
            self.cancel_each(self.quotes)
        nearest = self.number("minimum_spread", -1)
        away = {order: (price - order.price if order.is_buy else order.price - price) / price for order in self.quotes}
        self.cancel_each([order for order in away if away[order] < nearest])

    def may_stay(self, proposal: tuple[list[Level], list[Level]] | None) -> bool:
        """Formula 9."""
        tolerance = self.number("order_refresh_tolerance_pct", -1)
        if proposal is None or tolerance < 0:
            return False
        for is_buy, levels in zip((True, False), proposal, strict=True):
            old = sorted(order.price for order in self.quotes if order.is_buy is is_buy)
            new = sorted(price for price, _ in levels)
            if len(old) != len(new) or any(abs(b - a) / a > tolerance for a, b in zip(old, new, strict=True)):
                return False
        return True

    def place(self, is_buy: bool, level: Level, now: float) -> ModelOrder:
        send = self.market.buy if is_buy else self.market.sell
        order = ModelOrder(send(self.pair, level[1], OrderType.LIMIT, level[0]), is_buy, *level, now)
        self.orders.append(order)
        return order

    def place_all(self, proposal: tuple[list[Level], list[Level]], now: float) -> None:
        buys, sells = ([self.place(is_buy, level, now) for level in proposal[not is_buy]] for is_buy in (True, False))
        if self.on("hanging_orders_enabled"):
            self.pairs = [pair for pair in self.pairs if not (pair[0].gone and pair[1].gone)]
            self.pairs += zip(buys, sells, strict=False)
        if buys or sells:
            due = now + float(self.number("order_refresh_time"))
            self.create_at = due if self.create_at <= now else self.create_at
            self.cancel_at = min(self.create_at, due) if self.cancel_at <= now else self.cancel_at

    # -- the proposal

    def proposal(self, price: Decimal, now: float) -> tuple[list[Level], list[Level]]:
        buys, sells = self.levels(price)
        low, high = self.number("price_floor", -1), self.number("price_ceiling", -1)
        buys, sells = buys if high <= 0 or price < high else [], sells if low <= 0 or price > low else []
        if band := self.config.get("moving_price_band"):
            if now >= self.banded_at + float(band["refresh"]):
                self.banded_at, self.band_price = now, price
            low, high = (self.band_price * (1 + D(str(band[end])) / 100) for end in ("floor_pct", "ceiling_pct"))
            buys, sells = buys if price < high else [], sells if price > low else []
        if self.on("ping_pong_enabled"):
            if self.bought == self.sold:
                self.bought = self.sold = 0
            buys, sells = buys[self.bought :], sells[self.sold :]
        if self.on("order_optimization_enabled"):
            buys, sells = self.optimized(buys, sells)
        if self.on("add_transaction_costs_to_orders"):
            fee = self.market.fee[0]
            buys = [(self.floor_price(price * (1 - fee)), size) for price, size in buys]
            sells = [(self.floor_price(price * (1 + fee)), size) for price, size in sells]
        if self.on("inventory_skew_enabled"):
            buys, sells = self.skewed(buys, sells, price)
        buys, sells = self.affordable(buys, sells)
        if not self.on("take_if_crossed"):
            ask, bid = (self.market.get_price(self.pair, is_buy) for is_buy in (True, False))
            buys = [level for level in buys if ask.is_nan() or level[0] < ask]
            sells = [level for level in sells if bid.is_nan() or level[0] > bid]
        return buys, sells

    def floor_price(self, price: Decimal) -> Decimal:
        return self.market.quantize_order_price(self.pair, price)

    def floor_size(self, size: Decimal) -> Decimal:
        return self.market.quantize_order_amount(self.pair, size) if size > 0 else D(0)

    def levels(self, price: Decimal) -> tuple[list[Level], list[Level]]:
        """Formula 2."""
        rows = [(side, D(str(pct)) / 100, D(str(size))) for side, pct, size in self.overrides()]
        if not rows:
            step, more = self.number("order_level_spread"), self.number("order_level_amount")
            for level in range(int(self.number("order_levels", 1))):
                size = self.number("order_amount") + level * more
                rows += [
                    (side, self.number(name) + level * step, size)
                    for side, name in (("buy", "bid_spread"), ("sell", "ask_spread"))
                ]
        found: dict[str, list[Level]] = {"buy": [], "sell": []}
        for side, away, size in rows:
            level = self.floor_price(price * (1 - away if side == "buy" else 1 + away)), self.floor_size(size)
            if min(level) > 0:
                found[side].append(level)
        return found["buy"], found["sell"]

    def overrides(self) -> list[Any]:
        return list((self.config.get("order_override") or {}).values())

    def optimized(self, buys: list[Level], sells: list[Level]) -> tuple[list[Level], list[Level]]:
        """Formula 5."""
        sides = (
            (buys, True, "bid_order_optimization_depth", self.active_buys),
            (sells, False, "ask_order_optimization_depth", self.active_sells),
        )
        spaced: list[list[Level]] = []
        for levels, is_buy, depth, own in sides:
            last = own[-1].quantity if own else 0
            top = self.market.get_price_for_volume(self.pair, not is_buy, self.number(depth) + last)
            if not levels:
                spaced.append([])
                continue
            if top.is_nan():
                return [], []
            sign, choose = (1, min) if is_buy else (-1, max)
            step = self.market.get_order_price_quantum(self.pair, top)
            beside = ((top / step).to_integral_value(ROUND_CEILING if is_buy else ROUND_FLOOR) + sign) * step
            ladder = sorted(levels, key=lambda level: level[0], reverse=is_buy)
            first = self.floor_price(choose(ladder[0][0], beside))
            away = sign * self.number("order_level_spread")
            spaced.append([(first * (1 - away * index), size) for index, (_, size) in enumerate(ladder)])
        return spaced[0], spaced[1]

    def skewed(self, buys: list[Level], sells: list[Level], price: Decimal) -> tuple[list[Level], list[Level]]:
        """Formula 6."""
        base, quote = (float(amount) for amount in self.funds(self.orders))
        worth, value = base * float(price), base * float(price) + quote
        sizes = [size for side in self.levels(price) for _, size in side]
        if not self.overrides():
            count, more = self.number("order_levels", 1), self.number("order_level_amount")
            sizes = [2 * (count * self.number("order_amount") + count * (count - 1) / 2 * more)]
        reach = float(sum(sizes) * self.number("inventory_range_multiplier", 1)) * float(price)
        if value <= 0 or reach <= 0:
            return [], []
        target = value * float(self.number("inventory_target_base_pct", "0.5"))
        low, high = max(target - min(reach, value / 2), 0), target + min(reach, value / 2)
        if worth < target:
            bid = line(line(worth, low, target, 0, 0.5), 0, 0.5, 2, 1)
        else:
            bid = line(line(worth, target, high, 0.5, 1), 0.5, 1, 1, 0)
        return self.resized(buys, bid), self.resized(sells, 2 - bid)

    def resized(self, levels: list[Level], factor: float) -> list[Level]:
        sized = [(price, self.floor_size(size * D(factor))) for price, size in levels]
        return [level for level in sized if level[1] > 0]

    def funds(self, orders: list[ModelOrder]) -> tuple[Decimal, Decimal]:
        """What is free, and what these orders hold."""
        base, quote = (self.market.get_available_balance(asset) for asset in (self.market.base, self.market.quote))
        base += sum([order.quantity for order in orders if not order.is_buy], D(0))
        return base, quote + sum([order.quantity * order.price for order in orders if order.is_buy], D(0))

    def affordable(self, buys: list[Level], sells: list[Level]) -> tuple[list[Level], list[Level]]:
        """Formula 7."""
        base, quote = self.funds([order for order in self.quotes if order not in self.widows])
        return self.paid(buys, quote, 1 + self.market.fee[0]), self.paid(sells, base, None)

    def paid(self, levels: list[Level], budget: Decimal, cost: Decimal | None) -> list[Level]:
        kept: list[Level] = []
        for price, size in levels:
            unit = D(1) if cost is None else price * cost
            if size * unit > budget:
                return [level for level in [*kept, (price, self.floor_size(budget / unit))] if level[1] > 0]
            budget -= size * unit
            kept.append((price, size))
        return kept


def line(x: float, x0: float, x1: float, y0: float, y1: float) -> float:
    """Between two points on the line through them, outside of them the nearer one."""
    if not x0 < x < x1:
        return y1 if x >= x1 else y0
    return (y1 - y0) / (x1 - x0) * (x - x0) + y0


class ModelPlayer(Player):
    def _make_strategy(self) -> Any:
        return Model(self.market, dict(self.config))

    def _apply_changes(self) -> None:
        vars(self.strategy)["config"] = dict(self.config)


KNOWN = {
    "bid_spread", "ask_spread", "order_amount", "order_levels", "order_level_spread", "order_level_amount",
    "order_override", "order_refresh_time", "order_refresh_tolerance_pct", "max_order_age", "filled_order_delay",
    "minimum_spread", "price_ceiling", "price_floor", "moving_price_band", "ping_pong_enabled",
    "inventory_skew_enabled", "inventory_target_base_pct", "inventory_range_multiplier", "hanging_orders_enabled",
    "hanging_orders_cancel_pct", "order_optimization_enabled", "bid_order_optimization_depth",
    "ask_order_optimization_depth", "add_transaction_costs_to_orders", "price_type", "take_if_crossed",
    "should_wait_order_cancel_confirmation",
}  # fmt: skip
RETIMED = {"order_refresh_time", "filled_order_delay"}
"""Where these change, ours counts anew at once."""
KNOWN_PRICES = {"mid_price", "best_bid", "best_ask", "last_price", "last_own_trade_price"}


def play_model(scenario: Scenario) -> Trace | None:
    """Return the model's trace, ``None`` where it does not know a parameter, or what a change of it does in ours."""
    config = scenario["config"]
    changes = [(step[1], step[2]) for step in scenario["steps"] if step[0] == "set"]
    tolerant = number(config.get("order_refresh_tolerance_pct", -1)) >= 0  # ours replaces once in spite of it
    names = {name for name, _ in changes}
    prices = {value for name, value in [*config.items(), *changes] if name == "price_type"}
    known = config.keys() | names <= KNOWN and prices <= KNOWN_PRICES
    if not known or names & RETIMED or (names and tolerant) or "order_refresh_tolerance_pct" in names:
        return None
    return ModelPlayer(scenario).play(scenario["steps"])
