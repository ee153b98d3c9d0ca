"""What one tick of a market maker saw, made and did: kept as it is, put into words only when somebody asks."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum

from kit.strategy.market_making_context import MarketMakingContext, Stage
from kit.strategy.proposal import Proposal
from kit.strategy.refresh_timers import RefreshTimers


class Outcome(Enum):
    """How a tick ended."""

    PLACED = "placed orders"
    NOT_READY = "a market is not ready"
    NO_PRICE = "there is no reference price"
    RESTING = "orders rest until they are due"
    PAUSE_AFTER_FILL = "the pause after a fill is not over"
    JUST_DUE = "placing is due, from the next tick on"
    CANCELS_UNCONFIRMED = "cancels are not confirmed yet"
    KEPT = "resting orders are within the tolerance"
    QUOTES_REST = "quotes still rest"
    NOTHING_LEFT = "the stages left nothing to quote"
    FAILED = "the tick failed"
    NO_TICK = "no tick has run yet"


class CancelReason(Enum):
    """Why orders were cancelled."""

    DUE = "due for replacement"
    OVER_AGE = "older than max_order_age"
    NEAR = "nearer to the price than minimum_spread"
    HANGING_FAR = "hanging, farther than hanging_orders_cancel_pct"
    HANGING_OLD = "hanging, renewed at max_order_age"
    WITHDRAWN = "withdrawn"


class TickRecord:
    """One tick. ``trail`` holds what each stage made of the proposal; times are in seconds since the epoch."""

    __slots__ = (
        "cancel_at",
        "cancels",
        "context",
        "create_at",
        "hold_until",
        "outcome",
        "placed",
        "problem",
        "reference",
        "timestamp",
        "trail",
    )

    def __init__(self, timestamp: float, timers: RefreshTimers, outcome: Outcome = Outcome.FAILED) -> None:
        self.timestamp = timestamp
        self.create_at = timers.create_at
        self.cancel_at = timers.cancel_at
        self.hold_until = timers.hold_until
        self.outcome = outcome
        self.problem = ""
        self.reference: Decimal | None = None
        self.context: MarketMakingContext | None = None
        self.trail: list[tuple[Stage, Proposal]] = []
        self.cancels: list[tuple[CancelReason, int]] = []
        self.placed = 0

    @property
    def emptied_by(self) -> str:
        """Return the name of the stage that left nothing to quote; empty where something is left."""
        if not self.trail or not self.trail[-1][1].is_empty:
            return ""
        return next(stage_name(stage) for stage, after in self.trail if after.is_empty)


def stage_name(stage: Stage) -> str:
    """Return the name by which a stage is shown."""
    return str(getattr(stage, "__name__", None) or repr(stage))
