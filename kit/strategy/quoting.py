"""What market makers share: a proposal that runs through stages, and a record of every tick that explains itself."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final

from kit.errors import InvalidInput
from kit.strategy.endings import lost_quotes
from kit.strategy.explanation import Explanation, explain, sentence, verdict
from kit.strategy.market_api import Market
from kit.strategy.market_making_context import MarketMakingContext, Stage
from kit.strategy.market_making_stages import STAGES
from kit.strategy.own_orders import OwnOrder
from kit.strategy.params import Params as BaseParams
from kit.strategy.proposal import EMPTY, PriceSize, Proposal, checked
from kit.strategy.refresh_timers import RefreshTimers
from kit.strategy.strategy_base import StrategyBase
from kit.strategy.tick_record import CancelReason, Outcome, TickRecord, stage_name
from kit.types.events import MarketEvent, MarketOrderFailureEvent
from kit.types.orders import OrderType

logger = logging.getLogger(__name__)


class QuotingStrategy(StrategyBase):
    """A strategy that quotes one pair of one market in a cycle of proposing, cancelling and placing.

    ``stages`` make the proposal (see ``kit.strategy.market_making_stages``); a subclass may replace them. ``explain()``
    tells what came of the last tick and why.
    """

    stages: ClassVar[Sequence[Stage]] = ()

    def __init__(
        self,
        market: Market,
        trading_pair: str | None = None,
        *,
        name: str | None = None,
        params: BaseParams | Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> None:
        super().__init__(market, trading_pair, name=name, params=params, **parameters)
        self._market: Final = market
        self._pair: Final = self.trading_pair
        self._timers: Final = RefreshTimers()
        self._proposed: TickRecord | None = None
        self._record = TickRecord(self.current_timestamp, self._timers, Outcome.NO_TICK)
        self._told: set[str] = set()
        self._router.observe(MarketEvent.OrderFailure, self._refused)
        for stage in self.stages:
            if not callable(stage):
                raise InvalidInput(
                    f"{stage!r} among the stages of {type(self).__name__} cannot be called; give functions"
                )

    def on_start(self, timestamp: float) -> None:
        """Begin with fresh timers: orders may be placed on the first tick."""
        self._timers.reset()
        self._proposed = None
        self._record = TickRecord(timestamp, self._timers, Outcome.NO_TICK)

    def can_adopt(self, order: OwnOrder) -> bool:
        """Tell whether an order is of the pair that is quoted."""
        return super().can_adopt(order) and order.trading_pair == self._pair

    def on_not_ready(self, timestamp: float) -> None:
        """Withdraw: a stale book or a silent private stream is nothing to leave orders on."""
        record = self._record = TickRecord(timestamp, self._timers)
        record.outcome = Outcome.NOT_READY
        record.problem = ", ".join(market.name for market in self.markets if not market.ready)
        self._withdraw(record)

    # -- what the last tick thought --------------------------------------------------------------------------------

    @property
    def hanging_orders(self) -> tuple[OwnOrder, ...]:
        """Return the active orders that stay when quotes are replaced."""
        return ()

    @property
    def trail(self) -> tuple[tuple[str, Proposal], ...]:
        """Return what each stage made of the last tick's proposal: (name of the stage, proposal after it)."""
        return tuple((stage_name(stage), proposal) for stage, proposal in self._record.trail)

    @property
    def trail_context(self) -> MarketMakingContext | None:
        """Return what the stages of the last tick saw; ``None`` where nothing was proposed."""
        return self._record.context

    def explain(self) -> Explanation:
        """Tell why it quotes what it quotes, or does not: a sentence, and the last proposal stage by stage."""
        return explain(self._verdict(), self._record, self._proposed, self._notes)

    def _verdict(self) -> str:
        hanging = self.hanging_orders
        quotes = [order for order in self.active_orders if order not in hanging] if hanging else self.active_orders
        now, record, proposed = self.current_timestamp, self._record, self._proposed
        lost = lost_quotes(record, proposed, quotes, self._orders.last_ended, now)
        return verdict(self, record, proposed, len(hanging), lost) + "".join(
            f" {sentence(note)}." for _, note in self._notes
        )

    @property
    def _notes(self) -> tuple[tuple[str, str], ...]:
        """Return what else is to be told: the step that it belongs to, and a clause."""
        return ()

    def _refused(self, order: OwnOrder, event: MarketOrderFailureEvent) -> None:
        order.ending = event.error_message

    # -- for the tick ----------------------------------------------------------------------------------------------

    def _run_stages(self, context: MarketMakingContext, record: TickRecord) -> Proposal:
        record.context = context
        self._proposed = record
        proposal, trail = EMPTY, record.trail
        checks = self.stages is not STAGES
        for stage in self.stages:
            proposal = stage(proposal, context)
            if checks:
                proposal = checked(proposal, stage_name(stage))
            trail.append((stage, proposal))
        return proposal

    def _tell_once(self, topic: str, problem: str = "") -> None:
        """Log a problem when it begins; without a problem it is over, and a next one is told anew."""
        if problem and topic not in self._told:
            self._told.add(topic)
            logger.warning("%s: %s", self.name, problem)
        elif not problem:
            self._told.discard(topic)

    def _cancel(self, orders: Iterable[OwnOrder], reason: CancelReason, record: TickRecord) -> None:
        sent, why = 0, reason.value
        for order in orders:
            if self._ask_to_cancel(order):
                order.ending = why
                sent += 1
        if sent:
            record.cancels.append((reason, sent))

    def _withdraw(self, record: TickRecord) -> None:
        if self.active_orders:
            self._cancel(self.active_orders, CancelReason.WITHDRAWN, record)
            self._timers.withdrawn(record.timestamp)

    def _quote(self, is_buy: bool, entries: Iterable[PriceSize], order_type: OrderType, placed: list[OwnOrder]) -> None:
        """Place one side and add the orders to ``placed``; what the market raises ends it."""
        market, pair, now = self._market, self._pair, self.current_timestamp
        place, send = self._router.place, market.buy if is_buy else market.sell
        for price, size, level in entries:
            order = OwnOrder("", market, pair, is_buy, price, size, order_type, now, level)
            place(order, send, price)
            placed.append(order)
