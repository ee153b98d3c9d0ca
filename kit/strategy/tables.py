"""A small table that becomes a DataFrame, text or HTML when somebody looks at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns; cells are numbers, texts, truths or ``None``.

    ``fractions`` names the columns whose fractions (0.01) are shown as percent (1 %) in text and HTML.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    fractions: frozenset[str] = frozenset()

    @property
    def frame(self) -> pd.DataFrame:
        """Return a DataFrame; exact decimals stay ``Decimal`` objects."""
        import pandas as pd

        return pd.DataFrame(list(self.rows), columns=list(self.columns))

    def _shown(self) -> list[list[str]]:
        columns = [
            _aligned([row[index] for row in self.rows], column in self.fractions)
            for index, column in enumerate(self.columns)
        ]
        return [list(cells) for cells in zip(*columns, strict=True)]

    def text(self) -> str:
        """Return the table as aligned text."""
        if not self.rows:
            return f"{self.title}: none"
        cells = [list(self.columns), *self._shown()]
        widths = [max(len(row[index]) for row in cells) for index in range(len(self.columns))]
        lines = (zip(row, widths, strict=True) for row in cells)
        return "\n".join(
            [f"{self.title}:", *("  " + "  ".join(cell.ljust(wide) for cell, wide in line).rstrip() for line in lines)]
        )

    def html(self) -> str:
        """Return the table as HTML."""
        if not self.rows:
            return f"<p><b>{escape(self.title)}</b>: none</p>"
        head = "".join(f"<th>{escape(column.replace('_', ' '))}</th>" for column in self.columns)
        body = "".join(map(_html_row, self.rows, self._shown()))
        return (
            f"<table><caption style='text-align:left'><b>{escape(self.title)}</b></caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )


def _html_row(row: Sequence[Any], shown: Sequence[str]) -> str:
    cells = "".join(
        f"<td align='{_align(cell)}' style='text-align:{_align(cell)}'>{escape(_parted(cell, text))}</td>"
        for cell, text in zip(row, shown, strict=True)
    )
    return f"<tr>{cells}</tr>"


def _parted(cell: Any, text: str) -> str:
    """Return a number with thousands parted; texts and truths as they are."""
    if isinstance(cell, str | bool) or not isinstance(cell, Decimal | float | int):
        return text
    whole, point, rest = text.partition(".")
    return f"{int(whole):,}{point}{rest}" if whole.isdecimal() else text


def _align(cell: Any) -> str:
    return "left" if isinstance(cell, str) else "right"


def _aligned(cells: Sequence[Any], is_fraction: bool) -> list[str]:
    """Return a column as texts; its exact decimals have as many digits behind the point as the one with most."""
    texts = [cell_text(cell, is_fraction) for cell in cells]
    if is_fraction:
        return texts
    places = {
        index: len(texts[index].partition(".")[2])
        for index, cell in enumerate(cells)
        if isinstance(cell, Decimal) and cell.is_finite()
    }
    most = max(places.values(), default=0)
    for index, count in places.items():
        if count < most:
            texts[index] += ("" if count else ".") + "0" * (most - count)
    return texts


def cell_text(cell: Any, is_fraction: bool = False) -> str:
    """Return a cell as short text: no exponents, no trailing zeros; a fraction as percent with 4 digits."""
    if is_fraction and isinstance(cell, Decimal | float | int) and not isinstance(cell, bool):
        return f"{Decimal(f'{cell * 100:.4g}').normalize():f} %"
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, Decimal):
        if not cell.is_finite():
            return "none"
        return f"{Decimal(f'{cell:.12g}').normalize():f}"
    return f"{cell:.6g}" if isinstance(cell, float) else str(cell)
