"""A book as pandas sees it. pandas is imported on the first use only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kit.types.market import Level

if TYPE_CHECKING:
    import pandas as pd


def side_frame(levels: Mapping[float, float], *, is_bid: bool) -> pd.DataFrame:
    """Return a side as a frame, best level first: price (quote), amount and cumulative (base), all float64."""
    import numpy as np
    import pandas as pd

    prices = np.fromiter(levels.keys(), np.float64, len(levels))
    amounts = np.fromiter(levels.values(), np.float64, len(levels))
    order = np.argsort(-prices if is_bid else prices)
    amounts = amounts[order]
    return pd.DataFrame({"price": prices[order], "amount": amounts, "cumulative": amounts.cumsum()})


def ladder_frame(bids: Sequence[Level], asks: Sequence[Level]) -> pd.DataFrame:
    """Return both sides beside each other, a row per level from the best: amounts outside, prices inside.

    Columns bid_amount, bid_price, ask_price, ask_amount (float64); the shorter side is filled with NaN.
    """
    import pandas as pd

    frames = (
        pd.DataFrame(bids, columns=["bid_price", "bid_amount"], dtype="float64"),
        pd.DataFrame(asks, columns=["ask_price", "ask_amount"], dtype="float64"),
    )
    return pd.concat(frames, axis=1)[["bid_amount", "bid_price", "ask_price", "ask_amount"]]
