"""Numbers and snippets as panels show them."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

BID: Final = "#1f8a3c"
ASK: Final = "#dd3038"
"""Colours that can be read on white and on black (contrast above 4), for places without style sheets."""

WARN: Final = "#a66f00"

MINUS: Final = "\N{MINUS SIGN}"
"""As wide as a plus or a digit, so that columns of signed numbers stay aligned."""


def decimals_of(step: Decimal | None, default: int) -> int:
    """Return how many decimals a step has, ``default`` where it is not known."""
    if step is None or not step.is_finite() or step <= 0:
        return default
    exponent = step.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else default


def decimals_in(values: Iterable[float], most: int = 8) -> int:
    """Return how many decimals it takes to write every one of these numbers, at most ``most``."""
    return min(max((decimals_of(Decimal(repr(value)), 0) for value in values), default=0), most)


def number(value: float | Decimal, decimals: int) -> str:
    """Return a number with thousands parted, ``—`` where there is none."""
    return f"{value:,.{decimals}f}" if math.isfinite(value) else "—"


def signed(value: float | Decimal, decimals: int) -> str:
    """Return a number with its sign, a plus too; zero has none, and what is no number is ``—``."""
    text = number(-value if value < 0 else value, decimals)
    if not math.isfinite(value) or not any(digit in text for digit in "123456789"):
        return text
    return f"{MINUS if value < 0 else '+'}{text}"


def exact(value: Decimal | None) -> str:
    """Return a decimal with thousands parted and no idle zeros, ``—`` where there is none."""
    if value is None or not value.is_finite():
        return "—"
    text = f"{value:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def money_decimals(quote: str, price_decimals: int) -> int:
    """Return the decimals of sums in quote: cents where the quote is a currency, else as fine as prices."""
    return 2 if any(name in quote for name in ("USD", "EUR", "GBP", "DAI")) else max(price_decimals, 2)


def moment(timestamp: float) -> str:
    """Return a time (seconds since the epoch) in UTC, to the second."""
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def lasting(seconds: float) -> str:
    """Return a length of time in its largest whole unit."""
    for length, unit in ((172800, "d"), (7200, "h"), (120, "min")):
        if seconds >= length:
            return f"{seconds // {'d': 86400, 'h': 3600, 'min': 60}[unit]:.0f} {unit}"
    return f"{seconds:.0f} s" if math.isfinite(seconds) else "—"


def split_pair(pair: str) -> tuple[str, str]:
    """Return base and quote of a unified symbol."""
    base, _, quote = pair.partition(":")[0].partition("/")
    return base, quote


_SIDES: Final = {"l": "left", "n": "left", "r": "right"}


def html_table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str = "", left: int = 0, sides: str = ""
) -> str:
    """Return a table of cells that are HTML already; the first ``left`` columns are aligned to the left.

    ``sides`` says it column by column: ``l`` left, ``n`` left in one line, ``r`` right in one line.
    """
    sides = sides or "l" * left + "r" * (len(head) - left)
    top = _cells("th", [escape(name) for name in head], sides)
    body = "".join(_cells("td", row, sides) for row in rows)
    title = f'<caption style="text-align:left;padding:2px 8px;font-weight:600">{escape(caption)}</caption>'
    return (
        f'<table style="border-collapse:collapse;font-variant-numeric:tabular-nums">{title if caption else ""}'
        f"<thead>{top}</thead><tbody>{body}</tbody></table>"
    )


def _cells(tag: str, cells: Sequence[str], sides: str) -> str:
    # Sides are said twice: where inline styles are taken away, the attribute is left.
    inside = (
        f'<{tag} align="{_SIDES[side]}" style="padding:2px 8px;border:0;text-align:{_SIDES[side]}'
        f'{"" if side == "l" else ";white-space:nowrap"}">{cell}</{tag}>'
        for cell, side in zip(cells, sides, strict=True)
    )
    return f"<tr>{''.join(inside)}</tr>"


def escape(text: object) -> str:
    """Return a text that may stand in HTML."""
    return html.escape(str(text))
