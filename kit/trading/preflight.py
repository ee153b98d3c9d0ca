"""The pre-flight: everything that live trading needs, asked for at once, each finding with its figure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from decimal import Decimal
from typing import Final

from kit.connectors.account_side import AccountSide
from kit.connectors.connector import Connector
from kit.core import reentry
from kit.core.naming import counted
from kit.core.network_iterator import NetworkStatus
from kit.core.time_source import TimeSource
from kit.core.waiting import wait_for
from kit.errors import AuthenticationFailed, KitError
from kit.trading.checks import Check, Outcome
from kit.trading.switched_core import SwitchedCore, traded_pairs

logger = logging.getLogger(__name__)

PATIENCE: Final = 5.0
"""Seconds that an exchange, a book or the guard has to be there."""

CLOCK_OFF: Final = 1.0
"""Seconds that the machine's clock may be off before a warning; requests are stamped with the exchange's time."""

STAMP_OFF: Final = 1.0
"""Seconds that our idea of the exchange's time may be off: more, and it refuses requests as too old or too new."""

SLOW_ANSWER: Final = 1.25
"""Seconds a question may take: half of the time for which an order is valid on its way. One that is late is asked again
twice, as one packet that was lost, or one garbage collection, is no reason to stay off."""

_ASKED_AGAIN: Final = 2

LATE: Final = 0.25
"""Seconds a turn of the loop may take before a warning."""

TOO_LATE: Final = 2.0

_LOOK: Final = 0.02

Finding = tuple[Outcome, str]


class Preflight:
    """Asks all of it of one core; ``sides`` are the accounts that would trade, by their connectors."""

    def __init__(
        self, core: SwitchedCore, sides: Sequence[tuple[Connector, AccountSide]], time_source: TimeSource
    ) -> None:
        self._core = core
        self._sides = sides
        self._time_source = time_source

    async def run(self) -> tuple[Check, ...]:
        """Return every finding; what cannot be asked has failed."""
        asked = [self._find(name, "", ask) for name, ask in self._of_the_core()]
        for connector, side in self._sides:
            asked += [self._find(name, connector.name, ask) for name, ask in self._of_an_account(connector, side)]
        return tuple(await asyncio.gather(*asked))

    def _of_the_core(self) -> Iterable[tuple[str, Callable[[], Awaitable[Finding]]]]:
        yield "loop lag", self._loop_lag
        yield "re-entry", self._re_entry
        yield "guard", self._guard
        yield "strategy", self._strategy

    def _of_an_account(
        self, connector: Connector, side: AccountSide
    ) -> Iterable[tuple[str, Callable[[], Awaitable[Finding]]]]:
        yield "account", lambda: self._account(connector, side)
        yield "able to trade", lambda: self._able_to_trade(connector, side)
        yield "clock skew", lambda: self._clock_skew(connector)
        yield "balances", lambda: self._balances(connector, side)
        yield "trading rules", lambda: self._rules(connector)
        yield "book", lambda: self._book(connector)

    async def _find(self, name: str, connector: str, ask: Callable[[], Awaitable[Finding]]) -> Check:
        try:
            outcome, text = await wait_for(ask(), 2 * PATIENCE, self._time_source)
        except KitError as error:
            outcome, text = "failed", f"{type(error).__name__}: {error}"
        except TimeoutError:
            outcome, text = "failed", f"no answer within {2 * PATIENCE:g} s; look at core.status and try again"
        except Exception as error:  # a check that breaks must not pass for one that passed
            logger.exception("the check %r broke", name)
            outcome, text = "failed", f"the check itself broke: {type(error).__name__}: {error}"
        return Check(name, connector, outcome, text)

    # -- the core ----------------------------------------------------------------------------------------------------

    async def _loop_lag(self) -> Finding:
        began = self._time_source.monotonic()
        for _ in range(3):
            await asyncio.sleep(0)
        turn = (self._time_source.monotonic() - began) / 3
        stats = self._core.clock.stats
        p99 = stats.p99_lateness if self._core.clock.running else 0.0
        text = f"a turn of the loop takes {turn * 1000:.0f} ms, ticks come up to {p99 * 1000:.0f} ms late (p99)"
        if turn > TOO_LATE:
            return "failed", f"{text}; something blocks the loop: end it, or use TradingCore(loop='thread')"
        if max(turn, p99) > LATE:
            return "warning", f"{text}; long cells make ticks late: TradingCore(loop='thread') keeps them apart"
        return "passed", text

    async def _re_entry(self) -> Finding:
        if why := reentry.dangerous():
            return "failed", why
        return "passed", "the loop is not patched in a way that loses messages"

    async def _guard(self) -> Finding:
        guard = self._core.guarding.guard
        if guard is None:
            return "warning", "switched off (guard=False): nobody cancels when this process stalls or dies"
        deadline = self._time_source.monotonic() + PATIENCE
        while not (state := guard.state).prepared:
            known = {name: why for name, why in state.problems.items() if why != "not tried yet"}
            late = self._time_source.monotonic() >= deadline
            # It tries again by itself; where the key is refused, waiting for that is no use.
            if known and (late or any(side.refused for _, side in self._sides)):
                told = "; ".join(f"{name}: {why}" for name, why in known.items())
                return "failed", f"the guard cannot reach the account: {told}"
            if not guard.running:
                return "failed", f"the guard process does not run; see {guard.log_path}, then arm again"
            if late:
                outcome: Outcome = "warning" if state.alive else "failed"
                return outcome, f"the guard is not prepared after {PATIENCE:g} s; it acts a second or two late"
            await self._time_source.sleep(_LOOK)
        took = await guard.meet(PATIENCE)
        limit = f"{guard.stall_limit:g} s"
        return "passed", f"process {state.pid} answered within {took * 1000:.0f} ms and acts after a stall of {limit}"

    async def _strategy(self) -> Finding:
        strategy = self._core.strategy
        if strategy is None:
            return "warning", "no strategy is set: only orders by hand will trade"
        if strategy.paused:
            return "warning", f"{strategy.name} is paused ({strategy.pause_reason}); strategy.resume() lets it act"
        return "passed", f"{strategy.name} acts"

    # -- an account --------------------------------------------------------------------------------------------------

    def _pairs(self, connector: Connector) -> tuple[str, ...]:
        return traded_pairs(self._core, connector)

    async def _account(self, connector: Connector, side: AccountSide) -> Finding:
        if connector.network_status is not NetworkStatus.CONNECTED:
            return "failed", f"no connection: {connector.last_error or 'not tried yet'}"
        if missing := await self._missing(side):
            return "failed", missing
        count = len(side.order_tracker.active_orders)
        return "passed", f"the key is accepted, the private stream is up, {counted(count, 'own order')} open"

    async def _missing(self, side: AccountSide) -> str:
        """Wait for an account to be in step; return what is missing after that."""
        deadline = self._time_source.monotonic() + PATIENCE
        while not side.ready:
            if side.refused:
                return f"the key is refused: {side.refused}"
            if self._time_source.monotonic() >= deadline:
                last = side.user_stream.status.last_error if side.user_stream is not None else ""
                return f"the private stream is not up after {PATIENCE:g} s: {last or 'no answer'}"
            await self._time_source.sleep(_LOOK)
        return ""

    async def _able_to_trade(self, connector: Connector, side: AccountSide) -> Finding:
        if side.refused:
            return "failed", f"not known: the key is refused: {side.refused}"
        try:
            able = await side.may_trade(self._pairs(connector)[0])
        except AuthenticationFailed as error:
            return "failed", f"the key may not trade: {error}; allow it where the key was made"
        if able is None:
            return "passed", "not told by this exchange before the first order"
        return "passed", "the key may trade (it was told that an invented order does not exist)"

    async def _clock_skew(self, connector: Connector) -> Finding:
        for _ in range(1 + _ASKED_AGAIN):
            before, began = self._time_source.time(), self._time_source.monotonic()
            theirs = await connector.fetch_server_time()
            took = self._time_source.monotonic() - began
            if took <= SLOW_ANSWER:
                break
        else:
            asked = f"the exchange was asked its time {1 + _ASKED_AGAIN} times and took {took:.2f} s at last"
            return "failed", f"{asked}; orders would be too old: mend the line"
        offset = connector.clock_offset
        if offset is None:
            return "passed", f"the exchange answers in {took * 1000:.0f} ms"
        wrong = abs(theirs - (before + took / 2) - offset)
        text = f"the exchange's clock is {offset:+z.2f} s from ours, known to {wrong:.2f} s, answered in {took:.2f} s"
        if wrong > STAMP_OFF + took:
            return "failed", f"{text}; the machine's clock was set: wait a minute, then arm again"
        if abs(offset) > CLOCK_OFF:
            return "warning", f"{text}; requests carry its time, but set the machine's clock: times shown are off"
        return "passed", text

    async def _balances(self, connector: Connector, side: AccountSide) -> Finding:
        if missing := await self._missing(side):
            return "failed", f"not known: {missing}"
        pairs = self._pairs(connector)
        assets = dict.fromkeys(
            asset for pair in pairs for asset in (connector.rule(pair).base_asset, connector.rule(pair).quote_asset)
        )
        held = {asset: side.balances.available(asset) for asset in assets}
        text = ", ".join(f"{amount.normalize():f} {asset}" for asset, amount in held.items()) + " free"
        if not any(held.values()):
            severe: Outcome = "failed" if self._core.strategy is not None else "warning"
            return severe, f"{text}; pay something in before going live"
        if empty := [asset for asset, amount in held.items() if not amount]:
            return "warning", f"{text}; without {', '.join(empty)} only one side can quote"
        return "passed", text

    async def _rules(self, connector: Connector) -> Finding:
        texts, outcome = [], "passed"
        for pair in self._pairs(connector):
            rule = connector.rule(pair)
            texts.append(
                f"{pair}: price step {rule.min_price_increment:f}, amount step {rule.min_base_amount_increment:f}, "
                f"least order {rule.min_order_size:f} {rule.base_asset}, {rule.min_notional_size:f} {rule.quote_asset}"
            )
        amount = self._order_amount(connector)
        if amount is not None:
            rule = connector.rule(self._pairs(connector)[0])
            worth = amount * connector.get_mid_price(rule.trading_pair)
            if amount < rule.min_order_size or (worth.is_finite() and worth < rule.min_notional_size):
                outcome = "failed"
                texts.append(f"order_amount {amount:f} is worth {worth:.2f} {rule.quote_asset}: below that; raise it")
        return ("failed" if outcome == "failed" else "passed"), "; ".join(texts)

    def _order_amount(self, connector: Connector) -> Decimal | None:
        strategy = self._core.strategy
        if strategy is None or connector not in strategy.markets:
            return None
        amount = getattr(strategy.params.model, "order_amount", None)
        return amount if isinstance(amount, Decimal) else None

    async def _book(self, connector: Connector) -> Finding:
        deadline = self._time_source.monotonic() + PATIENCE
        tracker = connector.order_book_tracker
        while late := [pair for pair in self._pairs(connector) if not tracker.is_ready(pair)]:
            if self._time_source.monotonic() >= deadline:
                status = tracker.status(late[0])
                age = "none yet" if status.age is None else f"{status.age:z.1f} s old"
                return "failed", f"the book of {late[0]} is {age}: {status.last_error or 'nothing comes'}"
            await self._time_source.sleep(_LOOK)
        return "passed", "; ".join(_book_text(connector, pair) for pair in self._pairs(connector))


def _book_text(connector: Connector, pair: str) -> str:
    status = connector.order_book_tracker.status(pair)
    bid, ask = connector.get_price(pair, False), connector.get_price(pair, True)
    return f"{pair} {bid} / {ask}, {status.age or 0.0:z.1f} s old"
