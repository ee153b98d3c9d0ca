"""Numbers and snippets as panels show them."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

BID: Final = "#1a7f37"
ASK: Final = "#cf222e"
"""Colours that can be read on white and on black, for places without style sheets."""


def decimals_of(step: Decimal | None, default: int) -> int:
    """Return how many decimals a step has, ``default`` where it is not known."""
    if step is None or not step.is_finite() or step <= 0:
        return default
    exponent = step.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else default


def number(value: float | Decimal, decimals: int) -> str:
    """Return a number with thousands parted, ``—`` where there is none."""
    return f"{value:,.{decimals}f}" if math.isfinite(value) else "—"


def exact(value: Decimal | None) -> str:
    """Return a decimal with thousands parted and no idle zeros, ``—`` where there is none."""
    if value is None or not value.is_finite():
        return "—"
    text = f"{value:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def split_pair(pair: str) -> tuple[str, str]:
    """Return base and quote of a unified symbol."""
    base, _, quote = pair.partition(":")[0].partition("/")
    return base, quote


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str = "", left: int = 0) -> str:
    """Return a table of cells that are HTML already; the first ``left`` columns are aligned to the left."""
    sides = ["left" if index < left else "right" for index in range(len(head))]
    top = _cells("th", [escape(name) for name in head], sides)
    body = "".join(_cells("td", row, sides) for row in rows)
    title = f'<caption style="text-align:left;padding:2px 8px;font-weight:600">{escape(caption)}</caption>'
    return (
        f'<table style="border-collapse:collapse">{title if caption else ""}'
        f"<thead>{top}</thead><tbody>{body}</tbody></table>"
    )


def _cells(tag: str, cells: Sequence[str], sides: Sequence[str]) -> str:
    style = "padding:2px 8px;border:0;font-variant-numeric:tabular-nums;text-align:"
    inside = (f'<{tag} style="{style}{side}">{cell}</{tag}>' for cell, side in zip(cells, sides, strict=True))
    return f"<tr>{''.join(inside)}</tr>"


def escape(text: object) -> str:
    """Return a text that may stand in HTML."""
    return html.escape(str(text))
