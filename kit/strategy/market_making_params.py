"""What can be set on pure market making."""

from __future__ import annotations

from decimal import Decimal

from pydantic import model_validator

from kit.strategy.params import Params, param


class PureMarketMakingParams(Params):
    """The parameters of ``PureMarketMaking``; names are the reference's, percentages are fractions, ``None`` is off."""

    bid_spread: Decimal = param(
        gt=0, lt=1, step="0.0001", unit="fraction", doc="distance of the nearest buy order below the reference price"
    )
    ask_spread: Decimal = param(
        gt=0, lt=1, step="0.0001", unit="fraction", doc="distance of the nearest sell order above the reference price"
    )
    order_amount: Decimal = param(gt=0, unit="base", doc="size of the nearest order of each side")
    order_levels: int = param(1, ge=1, le=100, step=1, doc="orders on each side")
    order_level_spread: Decimal = param(
        "0.01", ge=0, lt=1, step="0.0001", unit="fraction", doc="further distance of each level behind the nearest"
    )
    order_level_amount: Decimal = param(
        0, unit="base", doc="further size of each level behind the nearest; below zero they shrink"
    )
    order_refresh_time: float = param(30, gt=0, step=1, unit="s", doc="how long orders rest before they are replaced")
    order_refresh_tolerance: Decimal | None = param(
        None, ge=0, lt=1, step="0.0001", unit="fraction", doc="keep resting orders whose prices would change by less"
    )
    max_order_age: float | None = param(
        1800, gt=0, step=1, unit="s", doc="cancel all orders when one is older, even where the tolerance keeps them"
    )
    filled_order_delay: float = param(
        60, ge=0, step=1, unit="s", doc="pause between a filled order and the next placement"
    )

    @model_validator(mode="after")
    def _farthest_bid_is_above_zero(self) -> PureMarketMakingParams:
        farthest = self.bid_spread + (self.order_levels - 1) * self.order_level_spread
        if farthest >= 1:
            raise ValueError(
                f"the farthest buy order would have a price of zero or less: bid_spread {self.bid_spread} + "
                f"{self.order_levels - 1} levels x order_level_spread {self.order_level_spread} = {farthest} must stay "
                f"below 1; lower order_levels or order_level_spread"
            )
        return self
