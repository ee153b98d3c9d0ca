"""Exchange models: what a fill takes from an order, and what an order does that meets the account's own."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from kit.errors import InvalidInput
from kit.simulation import kernel_layout as layout


class SelfTradePrevention(IntEnum):
    """Which side ends when an order would trade with another one of the same account."""

    NONE = layout.STP_NONE
    """Own orders do not see each other at all."""
    EXPIRE_TAKER = layout.STP_TAKER
    """The new order takes what is better than the own order and expires there (Binance's default)."""
    EXPIRE_MAKER = layout.STP_MAKER
    """Resting own orders in the way expire; the new one goes on."""
    EXPIRE_BOTH = layout.STP_BOTH


@dataclass(frozen=True)
class ExchangeModel:
    """What the kernel is told about a model."""

    @property
    def partial(self) -> bool:
        """Tell whether an order can be filled in parts."""
        raise NotImplementedError

    @property
    def prevention(self) -> SelfTradePrevention:
        """Return the self-trade prevention."""
        return SelfTradePrevention.NONE


@dataclass(frozen=True)
class PartialFill(ExchangeModel):
    """Orders fill by what is there: the default, and what a real exchange does.

    A taker walks the displayed levels. The recording knows nothing of us and goes on displaying what was taken, but
    what was taken of a level is gone for our next takers until the level's amount changes. What is left of a
    GTC order rests at its limit, and fills when the market comes to it anew; hftbacktest fills the rest at the limit
    at once. IOC and market orders lapse with what is left, FOK fills whole or not at all, post-only is refused if it
    would take. A trade at an order's price fills what exceeds the queue; several own orders at one price share it in
    the order of their arrival (hftbacktest gives all of it to each). A trade beyond its price, or the other side's
    best reaching it, fills an order whole at its own price.
    """

    self_trade_prevention: SelfTradePrevention = SelfTradePrevention.EXPIRE_TAKER

    def __post_init__(self) -> None:
        given: object = self.self_trade_prevention
        if not isinstance(given, SelfTradePrevention):
            names = ", ".join(mode.name for mode in SelfTradePrevention)
            raise InvalidInput(f"self_trade_prevention is {given!r}; give one of SelfTradePrevention: {names}")

    @property
    def partial(self) -> bool:
        """Return ``True``."""
        return True

    @property
    def prevention(self) -> SelfTradePrevention:
        """Return ``self_trade_prevention``."""
        return self.self_trade_prevention


@dataclass(frozen=True)
class NoPartialFill(ExchangeModel):
    """Every fill is whole, as in hftbacktest's default: for comparison with it, and for small orders.

    A taker gets everything at the best price, however much is there; a trade at an order's price fills it whole once
    it exceeds the queue. Own orders do not see each other.
    """

    @property
    def partial(self) -> bool:
        """Return ``False``."""
        return False
