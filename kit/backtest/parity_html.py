"""How a parity report shows itself in a notebook."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from kit.backtest.parity import ParityReport

_SHOWN: Final = 20


def report_html(report: ParityReport) -> str:
    """Return the verdict, the first difference with its context, the rows that differ, and the table of fills."""
    colour, verdict = ("#1a7f37", "The same decisions") if report.equal else ("#cf222e", "Decisions differ")
    counts = (
        f"{len(report.decisions)} decisions in {report.ticks} ticks, {report.seconds:.0f} s, {report.frames} frames, "
        f"{report.param_changes} changes of parameters"
    )
    parts = [
        (
            f'<div style="border-left:4px solid {colour};padding-left:8px"><b>{verdict}</b> &nbsp; '
            f"{escape(report.strategy)}, {escape(report.session)}<br><small>{counts}</small></div>"
        ),
        *(f"<p><small>Note: {escape(note)}</small></p>" for note in report.notes),
    ]
    if report.first is not None:
        params = ", ".join(f"{name}={value}" for name, value in report.first.params.items())
        parts.append(
            f"<p>{report.differing} differ. The first:</p><pre>{escape(str(report.first))}\n"
            f"  parameters: {escape(params)}</pre>"
        )
        frame = report.frame()
        shown: Any = frame[~frame["equal"]].head(_SHOWN)
        parts.append(str(shown.to_html(index=False, border=0)))
    if report.fills is not None:
        parts.append(report.fills._repr_html_())
    return "".join(parts)
