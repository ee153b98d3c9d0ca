"""Watches what a fill of a hanging order does to our strategy: nothing, but for the order itself."""

from __future__ import annotations

from typing import Any

from kit.strategy.pure_market_making import PureMarketMaking
from tests.oracle.scenario import Player
from tests.oracle.traces import Scenario
from tests.support.mock_market import MockMarket


class WatchedMarket(MockMarket):
    """Compares what the strategy remembers before and after each fill of an order that hangs."""

    strategy: PureMarketMaking
    disturbed: list[str]

    def fill(self, order_id: str) -> None:
        hung = order_id in {order.client_order_id for order in self.strategy.hanging_orders}
        before = self._remembered()
        super().fill(order_id)
        after = self._remembered()
        if hung and before != after:
            self.disturbed.append(f"{order_id} filled hanging and changed {before} to {after}")

    def _remembered(self) -> dict[str, Any]:
        # Private, because a trace shows these only by what comes of them much later.
        timers, inputs = self.strategy._timers, self.strategy._inputs
        return {
            "create_at": timers.create_at,
            "cancel_at": timers.cancel_at,
            "filled_buys": inputs.ping_pong.filled_buys,
            "filled_sells": inputs.ping_pong.filled_sells,
            "last_own_trade": inputs.prices.last_own_trade,
        }


class WatchedPlayer(Player):
    market_type = WatchedMarket


def disturbed_by_hanging_fills(scenario: Scenario) -> list[str]:
    """Play a scenario; return the fills of hanging orders that delayed quotes or counted as a quote's fill."""
    player = WatchedPlayer(scenario)
    assert isinstance(player.market, WatchedMarket)
    player.market.strategy, player.market.disturbed = player.strategy, []
    player.play(scenario["steps"])
    return player.market.disturbed
