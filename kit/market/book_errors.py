"""What can be wrong with a message for an order book."""

from __future__ import annotations

from kit.errors import TryAgain


class BookError(TryAgain):
    """A message could not be applied; nothing of it was. ``reason`` is the short cause, for status and repr."""

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(f"{reason[:1].upper()}{reason[1:]}. {advice}")
        self.reason = reason


class SequenceGap(BookError):
    """Updates between the book and this diff are missing, or the book has no snapshot to build on."""


class BookCrossed(BookError):
    """The best bid would reach the best ask: an update was lost, or the message belongs elsewhere."""


class BadMessage(BookError):
    """A price or an amount is no finite number in its range, or a level is no (price, amount) pair."""
