"""Queue models: how far ahead of an own order the queue at its level is cancelled.

A book by level tells how much stands at a price, not who. A model guesses how much of a cancelled amount stood ahead
of our order. ``RiskAverse`` says none (fills come last), the probabilistic family splits it by the amounts in front
and behind; formulas as in hftbacktest 2.4. An order behind every recorded level stands at a price of which nothing is
known: it counts as the last of all that is told there later (hftbacktest puts it first). With order-by-order
data ``Fifo`` knows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from dis import get_instructions
from inspect import isfunction
from math import isfinite
from typing import Any, ClassVar

from kit.errors import InvalidInput
from kit.simulation import kernel_layout as layout


@dataclass(frozen=True)
class QueueModel:
    """What the kernel is told about a model: a number for the formula, an exponent, a compiled function."""

    code: ClassVar[int]

    @property
    def exponent(self) -> float:
        """Return the formula's n; 0.0 where it has none."""
        return 0.0

    @property
    def address(self) -> int:
        """Return the address of an own model's compiled function; 0 for the built-in ones."""
        return 0


@dataclass(frozen=True)
class RiskAverse(QueueModel):
    """Nobody ahead of us cancels: only trades bring us forward, and a level that shrinks below what was ahead."""

    code = layout.RISK_AVERSE


@dataclass(frozen=True)
class _Power(QueueModel):
    n: float = 3.0

    def __post_init__(self) -> None:
        if not (isinstance(self.n, (int, float)) and isfinite(self.n) and self.n > 0):
            raise InvalidInput(
                f"n of {type(self).__name__} is {self.n!r}; it must be a finite number above 0 (3.0 is common; the "
                "higher, the more cancels are taken to stand on the longer part of the queue)"
            )

    @property
    def exponent(self) -> float:
        """Return n."""
        return float(self.n)


@dataclass(frozen=True)
class PowerProb(_Power):
    """A cancelled order stood behind us with probability b^n / (b^n + f^n), b and f the amounts behind and ahead."""

    code = layout.POWER


@dataclass(frozen=True)
class LogProb(QueueModel):
    """A cancelled order stood behind us with probability ln(1+b) / (ln(1+b) + ln(1+f))."""

    code = layout.LOG


@dataclass(frozen=True)
class PowerProb2(_Power):
    """A cancelled order stood behind us with probability b^n / (b + f)^n."""

    code = layout.POWER2


@dataclass(frozen=True)
class LogProb2(QueueModel):
    """A cancelled order stood behind us with probability ln(1+b) / ln(1+b+f). hftbacktest's default in Python."""

    code = layout.LOG2


@dataclass(frozen=True)
class PowerProb3(_Power):
    """A cancelled order stood behind us with probability 1 - (f / (f + b))^n."""

    code = layout.POWER3


@dataclass(frozen=True)
class Fifo(QueueModel):
    """Price, then time, from order-by-order data (kinds ADD to FILL): nothing is guessed.

    Before a gap or a clear of the book our orders stand ahead of what came later; after it they count as the last of
    their level, as nothing is known about who was there.
    """

    code = layout.FIFO


@dataclass(frozen=True)
class OwnQueue(QueueModel):
    """Your own model: ``depth(front, traded, before, after) -> front`` is compiled and called at each depth row.

    ``front`` is the amount ahead of the order (base), negative once trades have reached it; the level goes from
    ``before`` to ``after``; ``traded`` is what trades took there since the last depth row (already off the front).
    The result is cut to ``after``; NaN counts as ``after``. The function must be one that numba can compile: numbers
    and ``math`` only, no exceptions. The rule for trades (they come off the front) stays.
    """

    depth: Callable[[float, float, float, float], float]
    code = layout.OWN_DEPTH

    @property
    def address(self) -> int:
        """Return the address of the compiled function."""
        return compiled_address(self.depth, "depth(front, traded, before, after)")


@dataclass(frozen=True)
class OwnProbability(QueueModel):
    """Your own ``behind(front, back, before, after) -> probability`` that a cancelled order stood behind us.

    Used where the built-in family uses its formula; see ``OwnQueue`` for what the function may be.
    """

    behind: Callable[[float, float, float, float], float]
    code = layout.OWN_PROBABILITY

    @property
    def address(self) -> int:
        """Return the address of the compiled function."""
        return compiled_address(self.behind, "behind(front, back, before, after)")


_compiled: dict[Callable[..., Any], Any] = {}


def compiled_address(function: Callable[..., float], shape: str) -> int:
    """Compile a function of four floats and return its address; it stays compiled for the life of the process."""
    # A function that was compiled by its author is compiled again, in the form that the kernel calls.
    plain: Any = getattr(function, "py_func", None) or getattr(function, "_pyfunc", function)
    if not isfunction(plain):
        raise InvalidInput(f"{function!r} is no function; write {shape}, four floats in, one float out")
    if any(step.opname == "RAISE_VARARGS" for step in get_instructions(plain)):
        raise InvalidInput(
            f"{plain.__name__} raises: compiled code called by the kernel has nobody to raise to, and the run would go "
            "on with a number that means nothing. Return float('nan') where nothing can be told"
        )
    kept: Any = _compiled.get(function)
    if kept is None:
        import numba
        from numba.core.errors import NumbaError

        try:
            kept = numba.cfunc("float64(float64, float64, float64, float64)", error_model="numpy")(plain)
        except (NumbaError, TypeError) as error:
            raise InvalidInput(
                f"{plain.__name__} cannot be compiled as {shape}: {str(error).strip()[:400]} — use "
                "numbers and math functions only, no objects, strings or global lists"
            ) from error
        _compiled[function] = kept
    return int(kept.address)
