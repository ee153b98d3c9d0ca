"""Whether an exchange takes a key, and what it lets the key do."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from kit.connectors.ccxt_errors import KEY_REFUSED
from kit.connectors.ccxt_exchange import CcxtExchange, required_credentials
from kit.connectors.ccxt_profiles import profile_of
from kit.connectors.client_order_ids import ClientOrderIds
from kit.connectors.pairs import normalize_pair
from kit.core.clock import SYSTEM_TIME, TimeSource
from kit.core.tasks import TaskSupervisor
from kit.errors import AuthenticationFailed, KitError, NotReady, NotSupported, UnknownPair
from kit.types.market import TradingRule
from kit.types.orders import AccountMessage, CancelFailed, CancelRequest
from kit.types.ports import AccountPort, Credentials, Endpoint, OrderPort

_PATIENCE: Final = 20.0
_USUAL_PAIRS: Final = ("BTC/USDT", "BTC/USD", "BTC/EUR", "BTC/USDT:USDT", "ETH/USDT")


@dataclass(frozen=True, slots=True)
class KeyReport:
    """What a key may do; ``None`` is not known. ``clock_offset`` is the exchange's clock minus ours, in seconds.

    ``problem`` says why something failed or is not known, empty when all is well; ``assets`` are those with a balance.
    """

    exchange: str
    can_read: bool | None
    can_trade: bool | None
    clock_offset: float | None = None
    assets: tuple[str, ...] = ()
    problem: str = ""


def needs_password(exchange_id: str) -> bool:
    """Tell whether an exchange's keys have a password, too.

    Raises ``UnknownExchange``, and ``NotSupported`` for one that signs with something else than a key and a secret.
    """
    needed = required_credentials(exchange_id)
    if foreign := sorted(needed - {"apiKey", "secret", "password"}):
        raise NotSupported(f"{exchange_id} signs with {' and '.join(foreign)}, which the kit cannot do yet")
    return "password" in needed


class Account(AccountPort, OrderPort, Protocol):
    """The private side of a venue, whole."""


async def check_key(
    exchange_id: str,
    credentials: Credentials,
    *,
    endpoint: Endpoint | None = None,
    pair: str | None = None,
    time_source: TimeSource = SYSTEM_TIME,
) -> KeyReport:
    """Ask an exchange what a key may do; no order is placed.

    It reads the balances, and asks to cancel an order that was never there on ``pair`` (by default a usual one): a key
    that may trade hears that there is no such order, another that it must not. Raises ``UnknownExchange`` and
    ``UnknownPair``; what the exchange says stands in the report.
    """
    supervisor = TaskSupervisor(f"check {exchange_id}")
    exchange = CcxtExchange(
        exchange_id, supervisor, credentials=credentials, endpoint=endpoint, time_source=time_source, trading=True
    )
    try:
        before = time_source.time()
        server_time = await exchange.fetch_server_time()
        offset = server_time - (before + time_source.time()) / 2
        chosen = _choose(await exchange.fetch_trading_rules(), pair, exchange_id)
    except UnknownPair:
        raise
    except KitError as error:
        return KeyReport(exchange_id, None, None, problem=f"not reached: {error}")
    else:
        profile = profile_of(exchange_id)
        told = profile.client_id_is_id or profile.cancel_id is not None
        return await ask_account(exchange, exchange_id, chosen if told else None, offset)
    finally:
        await exchange.close()
        await supervisor.close()


def _choose(rules: Mapping[str, TradingRule], pair: str | None, exchange_id: str) -> str:
    if pair is not None:
        pair = normalize_pair(pair)
        if pair not in rules:
            raise UnknownPair(f"{exchange_id} does not trade {pair!r}; name one that it does with --pair")
        return pair
    found = next((usual for usual in _USUAL_PAIRS if usual in rules), next(iter(rules), None))
    if found is None:
        raise NotReady(f"{exchange_id} lists no pair that the kit can trade")
    return found


async def ask_account(account: Account, exchange_id: str, pair: str | None, offset: float | None = None) -> KeyReport:
    """Ask an account what may be done with it; without ``pair``, or where that tells nothing, not whether to trade."""
    answers: asyncio.Queue[AccountMessage] = asyncio.Queue()
    account.attach_account_sink(answers.put_nowait)
    try:
        async with asyncio.timeout(_PATIENCE):
            balances = await account.fetch_balances()
    except AuthenticationFailed as error:
        return KeyReport(exchange_id, False, False, offset, problem=str(error))
    except (KitError, TimeoutError) as error:
        return KeyReport(exchange_id, None, None, offset, problem=str(error) or "no answer about the balances")
    can_trade, problem = await _may_trade(account, exchange_id, pair, answers)
    return KeyReport(exchange_id, True, can_trade, offset, tuple(sorted(balances)), problem)


async def _may_trade(
    account: Account, exchange_id: str, pair: str | None, answers: asyncio.Queue[AccountMessage]
) -> tuple[bool | None, str]:
    if pair is None:
        return None, f"whether the key may trade cannot be told on {exchange_id} without an order"
    invented = ClientOrderIds("key check").next()
    account.cancel(CancelRequest(invented, pair))
    try:
        async with asyncio.timeout(_PATIENCE):
            while True:
                answer = await answers.get()
                if isinstance(answer, CancelFailed) and answer.client_order_id == invented:
                    break
    except TimeoutError:
        return None, "no answer about orders"
    if answer.order_not_found:
        return True, ""
    return (False if KEY_REFUSED in answer.reason else None), answer.reason
