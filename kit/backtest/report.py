"""Results as HTML: what a notebook shows, and a page that stands by itself."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from kit.backtest.overview_svg import moment
from kit.backtest.run_files import write_bytes
from kit.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from kit.backtest.result import Result

Rows: TypeAlias = Mapping[str, Mapping[str, Any]]
"""A table as its rows by name."""

UNKNOWN: Final = "?"
"""What stands for NaN."""

HEADLINE: Final = (
    "return",
    "return_fraction",
    "return_over_holding",
    "sharpe",
    "max_drawdown",
    "fills",
    "fill_ratio",
    "turnover",
    "spread_captured_bps",
    "markout_5s",
    "adverse_selection_5s",
    "inventory_max_value",
)

_PARTS: Final = ("spread_captured", "inventory_revaluation", "holdings_revaluation", "fees", "unexplained", "return")

# !important where JupyterLab's own rules for tables in outputs are more specific.
STYLE: Final = """<style>
.kit-result{font-family:system-ui,-apple-system,"Segoe UI",sans-serif;font-size:13px;line-height:1.45;max-width:1100px;
color:var(--jp-ui-font-color1,inherit);font-variant-numeric:tabular-nums}
.kit-result h2{font-size:17px;margin:.2em 0}
.kit-result h3{font-size:12px;margin:1.4em 0 .4em;text-transform:uppercase;letter-spacing:.05em;opacity:.7}
.kit-result .sub{opacity:.7;margin-bottom:.8em}
.kit-result .cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(165px,1fr));gap:8px}
.kit-result .card{border:1px solid rgba(128,128,128,.3);border-radius:6px;padding:7px 10px}
.kit-result .card b{display:block;font-size:17px;font-weight:600;white-space:nowrap}
.kit-result .card span{opacity:.72;font-size:11.5px;display:block}
.kit-result table{border-collapse:collapse;border:none;margin:0;font-size:12.5px}
.kit-result td,.kit-result th{border:none;padding:3px 14px 3px 0;vertical-align:top;text-align:left!important;
background:none;white-space:normal}
.kit-result th{opacity:.7;font-weight:600}
.kit-result td.n,.kit-result th.n{text-align:right!important;white-space:nowrap}
.kit-result tr{border-bottom:1px solid rgba(128,128,128,.18);background:none!important}
.kit-result .good{color:#1fa35c}.kit-result .bad{color:#e5484d}
.kit-result .note{border-left:3px solid #d98a1f;padding:2px 0 2px 9px;margin:4px 0}
.kit-result details{margin-top:.7em}.kit-result summary{cursor:pointer;opacity:.85}
.kit-result .wide{overflow-x:auto}
</style>"""

_PAGE: Final = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="color-scheme" content="light dark">
<style>body{{margin:26px auto;max-width:1100px;padding:0 18px;background:#fff;color:#1c2127}}
@media (prefers-color-scheme:dark){{body{{background:#14171b;color:#e4e7eb}}}}</style></head>
<body>{body}</body></html>"""


@dataclass(frozen=True, slots=True)
class SavedPage:
    """A written page: usable as a path, and its repr tells the size (bytes) and whether it needs the internet."""

    path: Path
    size: int
    offline: bool

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        needs = "needs no internet" if self.offline else "loads plotly.js from its CDN"
        return f"<{self.path}: {sizes(self.size)}, {needs}>"


def number(value: float, unit: str = "") -> str:
    """Return a figure in words of its unit: fractions as percent, money in thousands, NaN as "?"."""
    if not math.isfinite(value):
        return UNKNOWN
    if unit == "count":
        return f"{value:,.0f}"
    if unit == "fraction":
        return f"{value * 100:,.{2 if abs(value) >= 0.01 or abs(value) < 5e-7 else 4}f} %".replace("-0.00 %", "0.00 %")
    size = abs(value)
    most = 4 if unit in ("", "bps") else 8
    if size < 0.5 * 10.0**-most:
        value = size = 0.0
    digits = 0 if size >= 100_000 else 2 if size >= 1 or not size else min(most, 3 - math.floor(math.log10(size)))
    return f"{value:,.{digits}f}{' ' + unit if unit else ''}"


def sizes(count: int) -> str:
    """Return a size of a file in words."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def fragment(result: Result, picture: str) -> str:
    """Return what a notebook shows: headline, parts of the profit, picture, assumptions, notes; the rest folded."""
    return f'{STYLE}<div class="kit-result">{_head(result)}{picture}{_foot(result)}</div>'


def page(result: Result, figure: go.Figure | None, plotlyjs: Literal["inline", "cdn"]) -> str:
    """Return a whole page with the interactive figure; ``plotlyjs`` "inline" needs no internet."""
    picture = "" if figure is None else figure_html(figure, plotlyjs)
    body = f'{STYLE}<div class="kit-result">{_head(result)}{picture}{_foot(result, folded=False)}</div>'
    return whole_page(result.title, body)


def whole_page(title: str, body: str) -> str:
    """Return a document around a body of HTML, light or dark as the reader's system is."""
    return _PAGE.format(title=html.escape(title), body=body)


def figure_html(figure: go.Figure, plotlyjs: Literal["inline", "cdn"]) -> str:
    """Return a figure as HTML with plotly's script in it, or a link to it."""
    if plotlyjs not in ("inline", "cdn"):
        raise InvalidInput(f'plotlyjs is {plotlyjs!r}; choose "inline" (works offline, 5 MB) or "cdn" (small)')
    return str(
        figure.to_html(
            full_html=False,
            include_plotlyjs=True if plotlyjs == "inline" else "cdn",
            config={"displaylogo": False},
            div_id="kit-figure",  # plotly's own is another each time
        )
    )


def write_page(path: str | Path, text: str, plotlyjs: str) -> SavedPage:
    """Write a page; the parent folder must exist, else raises ``InvalidInput``."""
    data = text.encode()
    target = Path(path)
    write_bytes(target, data)
    return SavedPage(target, len(data), plotlyjs == "inline")


def _head(result: Result) -> str:
    run, stats = result.run, rows_of(result.stats)
    shown = {name: stats[name] for name in HEADLINE if name in stats and (name != "sharpe" or result.annualises)}
    resampled = any(math.isfinite(row["low"]) for row in shown.values())
    cards = "".join(_card(name, row, resampled) for name, row in shown.items())
    span = f"{moment(run.started)} to {moment(run.ended)}, {result.duration_words}"
    notes = "".join(f'<div class="note">{html.escape(note)}</div>' for note in result.notes)
    return (
        f'<h2>{html.escape(result.title)}</h2><div class="sub">{span}</div>{notes}<div class="cards">{cards}</div>'
        f"<h3>Where the profit came from</h3>{_parts(stats)}"
    )


def _foot(result: Result, *, folded: bool = True) -> str:
    assumed = pairs_table(result.run.assumptions) or "<p>None were recorded.</p>"
    confidence = f"{result.confidence * 100:g} % interval"
    statistics = statistics_table(result.stats, ("value",), confidence)
    sections = [
        ("All statistics, with their definitions", statistics),
        ("Markouts by side", _markouts(result.markouts)),
        ("Parameters", pairs_table(result.run.parameters)),
        ("Counts", pairs_table({name: f"{value:,.10g}" for name, value in result.run.counts.items()})),
    ]
    shown = "".join(
        f"<details{'' if folded else ' open'}><summary>{name}</summary><div class='wide'>{text}</div></details>"
        for name, text in sections
        if text
    )
    return f"<h3>Assumptions</h3>{assumed}{shown}"


def rows_of(frame: pd.DataFrame) -> Rows:
    """Return a table as its rows by name, in order."""
    return {str(name): row for name, row in frame.to_dict("index").items()}  # type: ignore[misc]


def _card(name: str, row: Mapping[str, Any], resampled: bool) -> str:
    low, high = row["low"], row["high"]
    value = number(row["value"], row["unit"])
    between = f"{number(low, _bare(row['unit']))} … {number(high, _bare(row['unit']))}"
    between = between if math.isfinite(low) else "&nbsp;"
    last = f"<span>{between}</span>" if resampled else ""
    title = html.escape(row["definition"], quote=True)
    return f'<div class="card" title="{title}"><span>{label(name)}</span><b>{value}</b>{last}</div>'


def _bare(unit: str) -> str:
    return unit if unit in ("fraction", "count") else ""


def label(name: str) -> str:
    """Return a statistic's name for readers."""
    return html.escape(name.replace("_fraction", " %").replace("_", " "))


def _parts(stats: Rows) -> str:
    cells = []
    for name in _PARTS:
        value, unit = float(stats[name]["value"]), str(stats[name]["unit"])
        value = -value if name == "fees" else value
        if name == "unexplained" and not value:
            continue
        words = "- fees" if name == "fees" else f"{'= ' if name == 'return' else '+ '}{label(name)}"
        tone = "good" if value > 0 else "bad" if value < 0 else ""
        title = html.escape(str(stats[name]["definition"]), quote=True)
        cells.append(f'<tr title="{title}"><td>{words}</td><td class="n {tone}">{number(value, unit)}</td></tr>')
    return f"<table>{''.join(cells)}</table>"


def pairs_table(pairs: Mapping[str, str]) -> str:
    """Return names and texts as a table, nothing for none."""
    rows = "".join(f"<tr><th>{html.escape(str(k))}</th><td>{html.escape(str(v))}</td></tr>" for k, v in pairs.items())
    return f"<table>{rows}</table>" if rows else ""


def statistics_table(stats: pd.DataFrame, columns: Iterable[str], confidence: str, *, defined: bool = True) -> str:
    """Return the table of statistics: ``columns`` with numbers, the interval headed by ``confidence``.

    Definitions stand in a column of their own, or (``defined`` False) show when the mouse rests on a row.
    """
    names = list(columns)
    rows = []
    for name, row in rows_of(stats).items():
        cells = "".join(f'<td class="n">{number(row[column], row["unit"])}</td>' for column in names)
        low, high = (number(row[end], _bare(row["unit"])) for end in ("low", "high"))
        between = "" if low == UNKNOWN else f"{low} … {high}"
        words = html.escape(row["definition"], quote=True)
        last = f"<td>{words}</td>" if defined else ""
        title = "" if defined else f' title="{words}"'
        rows.append(f'<tr{title}><td>{label(name)}</td>{cells}<td class="n">{between}</td>{last}</tr>')
    head = "".join(f'<th class="n">{label(name)}</th>' for name in (*names, confidence))
    return f"<table><tr><th>statistic</th>{head}{'<th>definition</th>' if defined else ''}</tr>{''.join(rows)}</table>"


def _markouts(markouts: pd.DataFrame) -> str:
    head = "".join(
        f'<th class="n">{name}</th>'
        for name in ("after", "side", "fills", "markout bps", "interval", "money", "adverse bps", "interval", "money")
    )
    rows = "".join(_markout(row) for row in markouts.to_dict("records"))
    return f"<table><tr>{head}</tr>{rows}</table>"


def _markout(row: Mapping[Any, Any]) -> str:
    cells = [f"{row['horizon']:g} s", row["side"], f"{row['fills']:,}"]
    for kind in ("markout", "adverse"):
        between = f"{number(row[f'{kind}_low'])} … {number(row[f'{kind}_high'])}"
        cells += [number(row[f"{kind}_bps"]), between, number(row[f"{kind}_money"])]
    return "<tr>" + "".join(f'<td class="n">{cell}</td>' for cell in cells) + "</tr>"
