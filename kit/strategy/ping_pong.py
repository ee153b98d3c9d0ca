"""What ping-pong remembers: how many more orders of one side filled than of the other."""

from __future__ import annotations


class PingPong:
    """Counts whole fills of each side; when both are alike, the count begins anew (formula 4)."""

    __slots__ = ("filled_buys", "filled_sells")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.filled_buys = 0
        self.filled_sells = 0

    def filled(self, is_buy: bool) -> None:
        """Count an order that filled whole."""
        if is_buy:
            self.filled_buys += 1
        else:
            self.filled_sells += 1

    def settle(self) -> None:
        """Begin anew where both sides filled alike; called before a proposal is built."""
        if self.filled_buys == self.filled_sells:
            self.reset()
