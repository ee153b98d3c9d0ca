"""Looks inside a running test exchange and acts on its market, over its ``/testnet/`` interface."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import aiohttp
import orjson

from kit.errors import InvalidInput, NetworkUnavailable
from kit.types.market import TradeType
from kit.types.orders import Balance
from kit.types.ports import Credentials

_TIMEOUT = aiohttp.ClientTimeout(total=10.0)


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order as the exchange has it: amounts in base, prices in quote, ``timestamp`` in seconds."""

    account: str
    symbol: str
    order_id: str
    client_order_id: str
    side: TradeType
    type: str
    price: Decimal
    amount: Decimal
    filled: Decimal
    filled_quote: Decimal
    status: str
    timestamp: float


@dataclass(frozen=True, slots=True)
class VenueFill:
    """A fill as the exchange has it: amounts in base and quote, the fee in ``fee_asset``, seconds."""

    trade_id: str
    order_id: str
    client_order_id: str
    symbol: str
    side: TradeType
    price: Decimal
    amount: Decimal
    quote_amount: Decimal
    fee: Decimal
    fee_asset: str
    is_maker: bool
    timestamp: float


@dataclass(frozen=True, slots=True)
class VenueLedger:
    """The exchange's books: whether every asset sums to zero over all accounts, and what traders have.

    ``imbalance`` is empty when ``balanced``. ``balances`` maps account names to balances by asset, without zeros.
    """

    balanced: bool
    imbalance: Mapping[str, Decimal]
    balances: Mapping[str, Mapping[str, Balance]]


class _Address:
    """Where a test exchange is, and asking it something there."""

    def __init__(self, url: str, credentials: Credentials) -> None:
        self._url = url
        self._credentials = credentials

    @property
    def url(self) -> str:
        """The base address, without a trailing slash."""
        return self._url

    @property
    def credentials(self) -> Credentials:
        """Key and secret of the default account."""
        return self._credentials

    async def _ask(
        self, method: str, path: str, values: Mapping[str, Any] | None = None, *, query: bool = False
    ) -> Any:
        given = {name: value for name, value in (values or {}).items() if value is not None}
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT) as session,
                session.request(
                    method,
                    f"{self._url}/testnet/{path}",
                    params=given if query else None,
                    data=orjson.dumps(given, default=str) if given and not query else None,
                ) as response,
            ):
                answer = orjson.loads(await response.read())
                if response.status != 200:
                    raise InvalidInput(f"the test exchange refused {path}: {answer.get('error')}")
                return answer
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NetworkUnavailable(f"the test exchange at {self._url} does not answer: {error!r}") from error


class TestnetView(_Address):
    """Looks inside a test exchange; see ``TestnetClient``."""

    __test__ = False  # the name begins with Test, which pytest would collect

    async def status(self) -> dict[str, Any]:
        """Return name, pid, uptime in seconds, symbols, what acts on them, and whether that is frozen."""
        return await self._ask("GET", "status")  # type: ignore[no-any-return]

    async def stats(self) -> dict[str, Any]:
        """Return counts since the start: requests, errors by code, messages sent, sockets, trades, orders, faults."""
        return await self._ask("GET", "stats")  # type: ignore[no-any-return]

    async def connections(self) -> list[dict[str, Any]]:
        """Return the open sockets: kind, messages sent and waiting, streams or accounts."""
        return await self._ask("GET", "connections")  # type: ignore[no-any-return]

    async def open_orders(self, tag: str | None = None, account: str | None = None) -> list[VenueOrder]:
        """Return traders' open orders, those whose client order id begins with ``tag`` (``None``: all)."""
        entries = await self._ask("GET", "open_orders", {"tag": tag, "account": account}, query=True)
        return [_order(entry) for entry in entries]

    async def fills(self, account: str | Credentials | None = None, symbol: str | None = None) -> list[VenueFill]:
        """Return all fills of an account by name, key or credentials (``None``: the default one), oldest first."""
        wanted = account.api_key if isinstance(account, Credentials) else account
        entries = await self._ask("GET", "fills", {"account": wanted, "symbol": symbol}, query=True)
        return [_fill(entry) for entry in entries]

    async def ledger(self) -> VenueLedger:
        """Return the exchange's books."""
        answer = await self._ask("GET", "ledger")
        balances = {
            name: {
                asset: Balance(Decimal(entry["total"]), Decimal(entry["available"])) for asset, entry in assets.items()
            }
            for name, assets in answer["balances"].items()
        }
        imbalance = {asset: Decimal(value) for asset, value in answer["imbalance"].items()}
        return VenueLedger(answer["balanced"], imbalance, balances)

    async def faults(self) -> list[dict[str, Any]]:
        """Return the faults that can still strike."""
        return await self._ask("GET", "faults")  # type: ignore[no-any-return]


class TestnetClient(TestnetView):
    """Looks inside a test exchange and acts on its market.

    Every method opens a connection of its own, so that any event loop may call it. Raises ``NetworkUnavailable`` when
    the exchange does not answer and ``InvalidInput`` when it refuses.
    """

    async def create_account(
        self, name: str | None = None, deposits: Mapping[str, Decimal | int | str] | None = None
    ) -> Credentials:
        """Open another trader's account, with nothing but the deposits in it."""
        values = {asset: str(amount) for asset, amount in (deposits or {}).items()}
        answer = await self._ask("POST", "accounts", {"name": name, "deposits": values})
        return Credentials(answer["api_key"], answer["secret"])

    async def deposit(self, asset: str, amount: Decimal | int | str, account: str | Credentials | None = None) -> None:
        """Bring an amount into an account (negative: take it out)."""
        wanted = account.api_key if isinstance(account, Credentials) else account
        await self._ask("POST", "deposit", {"asset": asset, "amount": str(amount), "account": wanted})

    async def trade(
        self,
        symbol: str,
        side: TradeType | str,
        amount: Decimal | int | str,
        price: Decimal | int | str | None = None,
        *,
        time_in_force: str = "GTC",
    ) -> VenueOrder:
        """Let a market participant who can afford anything place an order and return it.

        Without a price it takes what the book has; with one it is a limit order whose remainder rests in the book
        (``time_in_force="IOC"``: is dropped). ``amount`` in base, ``price`` in quote.
        """
        word = side.value if isinstance(side, TradeType) else side
        body = {
            "symbol": symbol,
            "side": word,
            "amount": str(amount),
            "price": None if price is None else str(price),
            "time_in_force": time_in_force,
        }
        return _order(await self._ask("POST", "trade", body))

    async def cancel_orders(self, tag: str | None = None) -> list[VenueOrder]:
        """Cancel traders' open orders by the exchange's own will, those whose client order id begins with ``tag``."""
        return [_order(entry) for entry in await self._ask("POST", "cancel", {"tag": tag})]

    async def freeze_flow(self) -> None:
        """Stop the time of random traders and replays; books and orders stay as they are."""
        await self._ask("POST", "flow", {"frozen": True})

    async def resume_flow(self) -> None:
        """Let random traders and replays go on from where they stopped."""
        await self._ask("POST", "flow", {"frozen": False})

    async def set_flow(self, symbol: str | None = None, **settings: Any) -> None:
        """Change settings of the random traders of a pair, or of all (``SyntheticFlow.configure`` names them)."""
        await self._ask("POST", "flow", {"symbol": symbol, "settings": settings})

    async def set_limits(self, **limits: int) -> None:
        """Change rate limits (see ``start``) and lift all bans."""
        await self._ask("POST", "limits", limits)

    async def fault(
        self,
        kind: str,
        *,
        on: str | None = None,
        via: str | None = None,
        count: int | None = None,
        seconds: float | None = None,
        **options: Any,
    ) -> int:
        """Switch a fault on and return its number; ``kit.testnet.faults`` lists the kinds and their options.

        It strikes ``count`` times (default once) or for ``seconds``. ``on`` is a pattern of operations such as
        ``order.*`` or of streams such as ``btcusdt@depth*``; ``via`` restricts it to ``rest``, ``ws_api``, ``stream``.
        """
        body = {"kind": kind, "on": on, "via": via, "count": count, "seconds": seconds, **options}
        return int((await self._ask("POST", "faults", body))["id"])

    async def clear_faults(self, kind: str | None = None) -> None:
        """Switch off the faults of a kind, or all, and set the clock right."""
        await self._ask("DELETE", "faults", {"kind": kind}, query=True)


def _order(entry: dict[str, Any]) -> VenueOrder:
    return VenueOrder(
        account=entry["account"],
        symbol=entry["symbol"],
        order_id=str(entry["order_id"]),
        client_order_id=entry["client_order_id"],
        side=TradeType(entry["side"]),
        type=entry["type"],
        price=Decimal(entry["price"]),
        amount=Decimal(entry["amount"]),
        filled=Decimal(entry["filled"]),
        filled_quote=Decimal(entry["filled_quote"]),
        status=entry["status"],
        timestamp=entry["timestamp"],
    )


def _fill(entry: dict[str, Any]) -> VenueFill:
    return VenueFill(
        trade_id=str(entry["trade_id"]),
        order_id=str(entry["order_id"]),
        client_order_id=entry["client_order_id"],
        symbol=entry["symbol"],
        side=TradeType(entry["side"]),
        price=Decimal(entry["price"]),
        amount=Decimal(entry["amount"]),
        quote_amount=Decimal(entry["quote_amount"]),
        fee=Decimal(entry["fee"]),
        fee_asset=entry["fee_asset"],
        is_maker=entry["is_maker"],
        timestamp=entry["timestamp"],
    )
