"""The switch's ways as coroutines of a core, awaitable from any loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import Any, TypeVar

from kit.errors import InvalidInput
from kit.trading.checks import Check
from kit.trading.disarming import DisarmRules
from kit.trading.switch import LiveSwitch, TradingState

T = TypeVar("T")


class SwitchCommands(ABC):
    """Mixed into a core: off, paper, armed, live."""

    switch: LiveSwitch

    @abstractmethod
    async def _on_own_loop(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Await a coroutine on the core's loop."""

    @property
    def trading_state(self) -> TradingState:
        """Return what the strategy may do: ``OFF``, ``PAPER``, ``ARMED`` or ``LIVE``; see ``core.switch``."""
        return self.switch.state

    @property
    def disarm_rules(self) -> DisarmRules:
        """When live trading ends by itself (see ``DisarmRules``); assign other rules to change that at any time."""
        return self.switch.rules

    @disarm_rules.setter
    def disarm_rules(self, rules: DisarmRules) -> None:
        if not isinstance(rules, DisarmRules):
            raise InvalidInput(f"disarm_rules is {rules!r}; assign kit.DisarmRules(loop_lag=…, book_silence=…, …)")
        self.switch.rules = rules

    async def arm(self) -> tuple[Check, ...]:
        """Check everything that live trading needs, on the live account, and return the findings.

        When none failed the core is ``ARMED`` for 60 s; the strategy goes on on paper. Raises ``NotReady`` when the
        core does not run.
        """
        return await self._on_own_loop(self.switch.arm())

    async def go_live(self) -> tuple[Check, ...]:
        """Trade the live account from now on: arm if need be, cancel the paper orders, swap the accounts.

        Raises ``NotReady`` naming the checks that failed; nothing has changed then.
        """
        return await self._on_own_loop(self.switch.go_live())

    async def confirm_live(self, text: str) -> tuple[Check, ...]:
        """Go live where ``text`` is one of ``core.switch.confirmations``, as somebody typed it; only while ``ARMED``.

        Raises ``InvalidInput`` for another text, and ``NotReady`` as ``go_live``.
        """
        return await self._on_own_loop(self.switch.confirm_live(text))

    async def go_paper(self) -> str:
        """Trade on paper: cancel live orders, ask the exchange, then swap the accounts; return the exchange's word.

        A connector that was added live gets a paper account with the default money. Raises ``NotReady`` when the
        exchange does not confirm: the core stays ``LIVE``, the strategy paused; and where that paper account does not
        come up: nothing has changed then, and ``go_off`` works without it.
        """
        return await self._on_own_loop(self.switch.go_paper())

    async def go_off(self, reason: str = "") -> str:
        """Cancel every order, ask the exchange, then let the strategy act no more; return the exchange's word.

        Connectors stay connected, and orders by hand are still taken. Raises ``NotReady`` as ``go_paper``.
        """
        return await self._on_own_loop(self.switch.go_off(reason))
