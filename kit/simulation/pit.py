"""One pair on a simulated exchange: its matching engine, the account's orders there, and what fills do to the money."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final, Literal, TypeAlias

from kit.errors import FixInput, NotReady, PostOnlyRejected
from kit.orders.exact import EXACT, ZERO
from kit.simulation.account_words import SECOND, SimulatedOrder
from kit.simulation.engine import Fill, FillKind, MatchingEngine, Outcome
from kit.simulation.ledger import Ledger
from kit.simulation.order_checks import OrderChecks
from kit.types.orders import (
    AccountMessage,
    BalanceUpdate,
    CancelRequest,
    OrderRequest,
    OrderState,
    OrderType,
    TokenAmount,
)

FeeIn: TypeAlias = Literal["received", "quote"]
"""What fees are paid in: what the fill brings in (base of a buy, quote of a sell), as on most exchanges, or quote."""

Tell: TypeAlias = Callable[[int, list[AccountMessage]], None]

_ONE: Final = Decimal(1)


class Pit:
    """The orders of one account on one pair; see ``kit.simulation.timeline`` for who drives it.

    ``tell(exchange_ns, messages)`` takes what the exchange says at that time. ``rates`` are the maker's and the taker's
    fee as fractions, negative for rebates. Orders are refused by raising the ``kit.errors`` that a live port names.
    """

    def __init__(
        self,
        checks: OrderChecks,
        engine: MatchingEngine,
        ledger: Ledger,
        tell: Tell,
        *,
        rates: tuple[Decimal, Decimal],
        fee_in: FeeIn,
        shortest_entry: int,
        shortest_answer: int,
        trade_ids: Callable[[], int],
    ) -> None:
        self.engine = engine
        self.orders: dict[int, SimulatedOrder] = {}
        self._ids: dict[str, int] = {}
        self.shortest_entry = shortest_entry
        self.shortest_answer = shortest_answer
        self.known = True
        self._checks = checks
        self._ledger = ledger
        self._tell = tell
        self._maker_rate, self._taker_rate = rates
        self._fee_in_quote = fee_in == "quote"
        self._trade_ids = trade_ids
        rule = checks.rule
        self._base, self._quote = rule.base_asset, rule.quote_asset
        self._tick, self._lot = rule.min_price_increment, rule.min_base_amount_increment
        # What a buy holds for one unit of value: fees that are paid in quote come on top.
        self._buy_factor = EXACT.add(_ONE, max(*rates, ZERO)) if self._fee_in_quote else _ONE

    # -- driven by the timeline

    @property
    def busy(self) -> bool:
        """Tell whether orders of ours rest here."""
        return bool(self.orders)

    def set_floor(self, floor_ns: int) -> None:
        """Say how soon after an event, at the earliest, anybody looks because of it (ns)."""
        self.engine.response_floor_ns = floor_ns

    def run(self, exchange_ns: int, look_ns: int, *, halt: bool) -> Sequence[Fill]:
        """Match up to a time on the exchange, told to halt no further than the first fill; nobody looks before."""
        engine = self.engine
        if not engine.advance(exchange_ns, look_ns):
            return ()
        fills = engine.take_fills()
        while not halt and engine.advance(exchange_ns, look_ns):
            fills += engine.take_fills()
        return fills

    def look(self, local_ns: int) -> Sequence[Fill]:
        """Match what can be heard of by a local time, and show the book as known then."""
        engine = self.engine
        return engine.take_fills() if engine.step(local_ns) else ()

    def book(self, fill: Fill) -> None:
        """Take a fill, or the end of an order by self-trade prevention, into the account and tell of it."""
        order = self.orders[fill.order_id]
        told: list[AccountMessage] = []
        assets: dict[str, None] = {}
        self._take(order, fill, told, assets)
        if order.state.is_done:
            self._end(order, assets)
        told.append(order.update(fill.exch_ns))
        self._finish(fill.exch_ns, told, assets)

    # -- requests that arrive

    def place(self, request: OrderRequest, order_id: int, now_ns: int, look_ns: int) -> None:
        """Let an order arrive. Raises the error that it is refused with; then nothing has changed."""
        if not self.known:
            raise NotReady(f"the order book of {request.trading_pair} is not known now: nothing can be matched")
        self._catch_up(now_ns, look_ns)
        ticks = self._checks.ticks_of(request, len(self.orders))
        order = SimulatedOrder(order_id, request, ticks)
        if request.order_type is OrderType.MARKET:
            self._take_market(order, now_ns)
            return
        if order.is_buy:
            order.held = EXACT.multiply(request.price, self._buy_factor)  # type: ignore[arg-type]
            self._ledger.hold(order_id, self._quote, EXACT.multiply(order.held, request.amount))
        else:
            order.held = _ONE
            self._ledger.hold(order_id, self._base, request.amount)
        outcome = self._submit(order, now_ns)
        if outcome is Outcome.REJECTED:
            self._ledger.release(order_id)
            raise PostOnlyRejected(
                f"{request.trading_pair}: the post-only order at {request.price} would match at once and take"
            )
        self._settle(order, outcome, now_ns, self.engine.take_fills())

    def drop(self, order: SimulatedOrder, now_ns: int, look_ns: int) -> None:
        """Let the cancel of a resting order arrive."""
        self._catch_up(now_ns, look_ns)
        self.engine.cancel(order.order_id)
        order.state = OrderState.CANCELED
        assets: dict[str, None] = {}
        self._end(order, assets)
        self._finish(now_ns, [order.update(now_ns)], assets)

    def find(self, request: CancelRequest) -> SimulatedOrder | None:
        """Return the resting order of either id."""
        order_id = self._ids.get(request.client_order_id)
        if order_id is not None:
            return self.orders[order_id]
        exchange_id = request.exchange_order_id
        return self.orders.get(int(exchange_id)) if exchange_id is not None and exchange_id.isdecimal() else None

    # -- inside

    def _catch_up(self, now_ns: int, look_ns: int) -> None:
        # With orders resting, the timeline has come here already, as they might have been filled.
        if not self.orders:
            self.engine.advance(now_ns, look_ns)

    def _submit(self, order: SimulatedOrder, now_ns: int) -> Outcome:
        request = order.request
        lots = int(EXACT.divide_int(request.amount, self._lot))
        return self.engine.submit(
            order.order_id,
            request.trade_type,
            order.ticks,
            lots,
            request.order_type,
            request.time_in_force,
            now_ns=now_ns,
        ).outcome

    def _take_market(self, order: SimulatedOrder, now_ns: int) -> None:
        """Match a market order, and refuse it after all where the account cannot pay: matching leaves no trace."""
        outcome = self._submit(order, now_ns)
        fills = self.engine.take_fills()
        own = [fill for fill in fills if fill.order_id == order.order_id]
        value = EXACT.multiply(self._tick * self._lot, Decimal(sum(fill.tick * fill.lots for fill in own)))
        try:
            if own:
                self._checks.check_notional(value)
            if order.is_buy:
                order.held = self._buy_factor
                self._ledger.hold(order.order_id, self._quote, EXACT.multiply(value, self._buy_factor))
            else:
                order.held = _ONE
                self._ledger.hold(order.order_id, self._base, order.request.amount)
        except FixInput:
            self.engine.give_back(own, order.request.trade_type)
            for fill in fills:
                if fill.order_id != order.order_id:
                    self.book(fill)
            raise
        self._settle(order, outcome, now_ns, fills)

    def _settle(self, order: SimulatedOrder, outcome: Outcome, now_ns: int, fills: Sequence[Fill]) -> None:
        """Take what an accepted order came to: it is told as open first, then by its fills, then by its end."""
        self.orders[order.order_id] = order
        self._ids[order.request.client_order_id] = order.order_id
        told: list[AccountMessage] = [order.update(now_ns)]
        assets: dict[str, None] = {self._quote if order.is_buy else self._base: None}
        for fill in fills:
            if fill.order_id == order.order_id:
                self._take(order, fill, told, assets)
            else:
                self.book(fill)
        if outcome is Outcome.EXPIRED and not order.state.is_done:
            order.state = OrderState.EXPIRED
        if order.state.is_done:
            self._end(order, assets)
        if order.state is not OrderState.OPEN:
            told.append(order.update(now_ns))
        self._finish(now_ns, told, assets)

    def _take(self, order: SimulatedOrder, fill: Fill, told: list[AccountMessage], assets: dict[str, None]) -> None:
        if fill.kind == FillKind.EXPIRED:
            order.state = OrderState.EXPIRED
            return
        amount, price = EXACT.multiply(self._lot, fill.lots), EXACT.multiply(self._tick, fill.tick)
        value = EXACT.multiply(amount, price)
        maker = fill.kind == FillKind.MAKER
        ledger, rate = self._ledger, self._maker_rate if maker else self._taker_rate
        if order.is_buy:
            by_value = order.request.price is None
            ledger.spend(order.order_id, EXACT.multiply(order.held, value if by_value else amount), value)
            ledger.receive(self._base, amount)
        else:
            ledger.spend(order.order_id, amount, amount)
            ledger.receive(self._quote, value)
        fee_in_base = order.is_buy and not self._fee_in_quote
        fee = TokenAmount(
            self._base if fee_in_base else self._quote, EXACT.multiply(rate, amount if fee_in_base else value)
        )
        if fee.amount:
            ledger.charge(fee.token, fee.amount)
        order.filled = EXACT.add(order.filled, amount)
        order.filled_quote = EXACT.add(order.filled_quote, value)
        order.state = OrderState.PARTIALLY_FILLED if order.filled < order.request.amount else OrderState.FILLED
        assets[self._base] = assets[self._quote] = None
        told.append(order.trade(self._trade_ids(), fill.exch_ns, price, amount, value, fee, maker))

    def _end(self, order: SimulatedOrder, assets: dict[str, None]) -> None:
        del self.orders[order.order_id], self._ids[order.request.client_order_id]
        self._ledger.release(order.order_id)
        assets[self._quote if order.is_buy else self._base] = None

    def _finish(self, exch_ns: int, told: list[AccountMessage], assets: dict[str, None]) -> None:
        time, balance = exch_ns / SECOND, self._ledger.balance
        told.extend(BalanceUpdate(asset, balance(asset), time) for asset in assets)
        self._tell(exch_ns, told)
