"""What a drawing is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kit.notebook.widgets import LiveWidget


@dataclass(frozen=True, slots=True)
class Drawing:
    """An object as HTML that stands by itself and as text; ``live`` makes the panel that shows it in a kernel."""

    html: str
    text: str
    live: Callable[[], LiveWidget] | None = None
