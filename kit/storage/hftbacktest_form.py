"""hftbacktest's event rows: their dtype, flags and kinds (version 2)."""

from __future__ import annotations

from typing import Final

import numpy as np

EXCH: Final = 1 << 31
"""The row counts in the order of exchange time."""
LOCAL: Final = 1 << 30
"""The row counts in the order of local time."""
BUY_FLAG: Final = 1 << 29
SELL_FLAG: Final = 1 << 28
KIND_MASK: Final = 0xFF
KINDS: Final = (1, 2, 3, 4, 5, 10, 11, 12, 13)
"""The kinds that ``EventKind`` has by the same number."""
ORDER_KINDS: Final = (10, 11, 12, 13)

EVENT_DTYPE: Final = np.dtype(
    [
        ("ev", "<u8"),
        ("exch_ts", "<i8"),
        ("local_ts", "<i8"),
        ("px", "<f8"),
        ("qty", "<f8"),
        ("order_id", "<u8"),
        ("ival", "<i8"),
        ("fval", "<f8"),
    ],
    align=True,
)
"""64 bytes a row."""
