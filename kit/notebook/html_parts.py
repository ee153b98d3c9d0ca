"""Pieces of HTML that need no script and no style sheet, and read well where even their inline styles are taken away.

GitHub shows a notebook's HTML without styles, VS Code and nbconvert without JupyterLab's style sheet, each light or
dark: so colours only repeat what words and signs say, bars are drawn with characters, and sides are told by attributes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

from kit.notebook.formats import ASK, BID, WARN, escape, exact, number, signed

_EIGHTHS: Final = " ▏▎▍▌▋▊▉"

TONES: Final = {"good": BID, "bad": ASK, "warn": WARN}


def word(text: object, tone: str = "") -> str:
    """Return a text in the colour of a tone: ``good``, ``bad``, ``warn``, none."""
    shown = escape(text)
    return f'<span style="color:{TONES[tone]}">{shown}</span>' if tone else shown


def soft(text: object) -> str:
    """Return a text that stands back."""
    return f'<span style="opacity:0.65">{escape(text)}</span>'


def code(text: object) -> str:
    """Return an id or a name as code."""
    return f"<code>{escape(text)}</code>"


def title(name: str, *notes: str) -> str:
    """Return a headline: a name in bold, then notes that are HTML already."""
    inside = " · ".join([f"<b>{escape(name)}</b>", *(note for note in notes if note)])
    return f'<div style="padding:2px 8px">{inside}</div>'


def side_word(is_buy: bool) -> str:
    """Return ``buy`` or ``sell`` in its colour."""
    return f"<b>{word('buy', 'good') if is_buy else word('sell', 'bad')}</b>"


def gain(value: float | Decimal, decimals: int) -> str:
    """Return a profit or loss: sign and colour."""
    tone = "" if not math.isfinite(value) or not round(value, decimals) else "good" if value > 0 else "bad"
    return word(signed(value, decimals), tone)


def amount(value: Decimal | None, unit: str = "") -> str:
    """Return an exact amount with its unit."""
    return f"{escape(exact(value))} {escape(unit)}".strip()


def bar(share: float, color: str, width: int = 14) -> str:
    """Return a bar of block characters, ``width`` of them for a share of 1."""
    eighths = round(8 * width * min(max(share, 0.0), 1.0))
    blocks = "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")
    return f'<span style="color:{color};opacity:0.6;letter-spacing:0">{blocks}</span>'


def facts(rows: Iterable[Sequence[str]]) -> str:
    """Return a table of names and what is to be said of each, which is HTML already; empty ones are left out."""
    style = "padding:1px 8px;border:0;text-align:left;vertical-align:top"
    lines = [
        f'<tr><th align="left" style="{style};font-weight:normal;opacity:0.65">{escape(name)}</th>'
        f'<td align="left" style="{style}">{said}</td></tr>'
        for name, said in rows
        if said
    ]
    return f'<table style="border-collapse:collapse">{"".join(lines)}</table>' if lines else ""


def stack(*parts: str) -> str:
    """Return parts one below the other."""
    return f'<div style="font-variant-numeric:tabular-nums">{"".join(parts)}</div>'


def quantity(count: int, noun: str) -> str:
    """Return a count with its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def percent(fraction: float | Decimal) -> str:
    """Return a fraction as percent, no idle zeros."""
    text = number(fraction * 100, 4)
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"


def spark(points: Sequence[tuple[float, float]], width: int = 160, height: int = 26) -> str:
    """Return a small curve of (time, value) with a line at zero, as a picture; nothing for fewer than two points."""
    if len(points) < 2:
        return ""
    low, high = min(0.0, *(value for _, value in points)), max(0.0, *(value for _, value in points))
    begin, end = points[0][0], points[-1][0]
    reach, span = (high - low) or 1.0, (end - begin) or 1.0

    def y(value: float) -> float:
        return 1 + (high - value) / reach * (height - 2)

    every = max(1, len(points) // width)
    shown = [*points[::every], points[-1]]
    line = " ".join(f"{(time - begin) / span * width:.1f},{y(value):.1f}" for time, value in shown)
    color = BID if points[-1][1] >= 0 else ASK
    return (
        f'<svg role="img" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
        f"<title>from {shown[0][1]:.6g} to {shown[-1][1]:.6g}</title>"
        f'<line x1="0" x2="{width}" y1="{y(0.0):.1f}" y2="{y(0.0):.1f}" stroke="currentColor" stroke-opacity="0.3"/>'
        f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="1.5"/></svg>'
    )
