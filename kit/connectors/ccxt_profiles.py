"""What differs between exchanges, as data: options, client order ids, rate limits. Everything else is ccxt's business.

An exchange that is not listed gets the default profile, which assumes nothing that ccxt's unified API does not promise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kit.core.throttler import RateLimit

WEIGHT, ORDERS = "weight", "orders"
_IDS_REMEMBERED = 5_000
_ID_LENGTH = 18


@dataclass(frozen=True, slots=True)
class LimitPlan:
    """How an exchange counts requests.

    ``scale`` turns ccxt's cost of a request into whole units of ``weight`` (units, seconds); ``None`` takes the budget
    from ccxt's own settings. ``orders``: new orders and the seconds they are counted in. ``headers``: answer headers
    that tell what is used up, by limit id.
    """

    scale: float = 10.0
    weight: tuple[int, float] | None = None
    orders: tuple[int, float] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def limits(self, rate_limit_ms: float, window_ms: float) -> list[RateLimit]:
        """Return the limits; ``rate_limit_ms`` is ccxt's milliseconds per unit of cost, ``window_ms`` its window."""
        weight, interval = self.weight or (
            max(int(window_ms / max(rate_limit_ms, 1.0) * self.scale), 1),
            window_ms / 1000,
        )
        limits = [RateLimit(WEIGHT, weight, interval)]
        if self.orders is not None:
            limits.append(RateLimit(ORDERS, self.orders[0], self.orders[1]))
        return limits

    def weigh(self, cost: float | None) -> int:
        """Return ccxt's cost of a request in our units, at least 1."""
        return max(round((1.0 if cost is None else float(cost)) * self.scale), 1)


@dataclass(frozen=True, slots=True)
class Profile:
    """One exchange's peculiarities.

    ``create_id``, ``cancel_id`` and ``query_id`` name the ccxt parameter that carries our client order id; ``None``
    means that the exchange, or ccxt, cannot address an order so. With ``client_id_is_id`` the client id serves as the
    order id itself. ``fill_id_keys`` are where raw fill messages hold the client id. ``book_limit`` levels are fetched
    in a snapshot, ``fills_page`` fills and ``trades_page`` public trades in one answer; ``trades_from_id`` names the
    parameter of the trade to begin with. ``user_stream_acknowledged``: ccxt waits for the exchange's word that the
    private stream runs.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    has: Mapping[str, Any] = field(default_factory=dict)
    create_id: str = "clientOrderId"
    cancel_id: str | None = None
    query_id: str | None = None
    client_id_is_id: bool = False
    id_prefix: str = ""
    hex_ids: bool = False
    fill_id_keys: tuple[str, ...] = ()
    book_limit: int | None = None
    fills_page: int | None = None
    trades_page: int | None = None
    trades_from_id: str | None = None
    user_stream_acknowledged: bool = False
    limits: LimitPlan = field(default_factory=LimitPlan)


_BINANCE_HEADERS = {"x-mbx-used-weight-1m": WEIGHT, "x-mbx-order-count-10s": ORDERS}


def _binance(kinds: tuple[str, ...], default_type: str, limits: LimitPlan) -> Profile:
    streams = 1024  # Binance's own limit on one connection; ccxt spreads streams over fifty connections otherwise
    return Profile(
        options={
            "defaultType": default_type,
            "fetchMarkets": {"types": list(kinds)},
            "fetchMargins": False,
            "fetchCurrencies": False,
            "warnOnFetchOpenOrdersWithoutSymbol": False,
            "streamLimits": dict.fromkeys(("spot", "margin", "linear", "inverse"), 1),
            "subscriptionLimitByStream": dict.fromkeys(("spot", "margin", "linear", "inverse"), streams),
        },
        has={"fetchCurrencies": False},
        create_id="newClientOrderId",
        cancel_id="origClientOrderId",
        query_id="origClientOrderId",
        fill_id_keys=("c",),
        book_limit=1000,
        fills_page=1000,
        trades_page=1000,
        trades_from_id="fromId",
        user_stream_acknowledged=True,
        limits=limits,
    )


PROFILES: Mapping[str, Profile] = {
    # ccxt's cost of a Binance spot request is its weight times 0.2
    "binance": _binance(("spot",), "spot", LimitPlan(5.0, (6000, 60.0), (100, 10.0), _BINANCE_HEADERS)),
    "binanceus": _binance(("spot",), "spot", LimitPlan(1.0, (1200, 60.0), (100, 10.0), _BINANCE_HEADERS)),
    "binanceusdm": _binance(("linear",), "swap", LimitPlan(1.0, (2400, 60.0), (300, 10.0), _BINANCE_HEADERS)),
    "bybit": Profile(
        options={
            "fetchMarkets": {"types": ["spot"]},
            "defaultType": "spot",
            "enableUnifiedMargin": False,
            "enableUnifiedAccount": True,
        },
        has={"fetchCurrencies": False},
        cancel_id="orderLinkId",
        fill_id_keys=("orderLinkId",),
    ),
    "okx": Profile(cancel_id="clientOrderId", query_id="clientOrderId", fill_id_keys=("clOrdId",)),
    "kraken": Profile(cancel_id="clientOrderId", fill_id_keys=("cl_ord_id",)),
    "coinbase": Profile(create_id="client_order_id", fill_id_keys=("client_order_id",)),
    "kucoin": Profile(create_id="clientOid", cancel_id="clientOid", query_id="clientOid", fill_id_keys=("clientOid",)),
    "gate": Profile(create_id="text", client_id_is_id=True, id_prefix="t-", fill_id_keys=("text",)),
    "bitget": Profile(create_id="clientOid", cancel_id="clientOid", query_id="clientOid", fill_id_keys=("clientOid",)),
    "hyperliquid": Profile(cancel_id="clientOrderId", query_id="clientOrderId", hex_ids=True, fill_id_keys=("cloid",)),
}
"""Exchanges whose peculiarities were tried or read in ccxt's source."""


def profile_of(exchange_id: str) -> Profile:
    """Return the profile of an exchange."""
    return PROFILES.get(exchange_id, Profile())


class ClientIdCodec:
    """Our client order ids in an exchange's clothes: ``t-`` in front (gate), or 32 hex digits (hyperliquid)."""

    def __init__(self, profile: Profile) -> None:
        self._prefix = profile.id_prefix
        self._hex = profile.hex_ids
        self._ours: dict[str, str] = {}

    def encode(self, client_order_id: str) -> str:
        """Return the id as it goes over the wire, remembering it for the way back."""
        wire = f"0x{int(client_order_id, 36):032x}" if self._hex else self._prefix + client_order_id
        if wire != client_order_id:
            self._ours[wire] = client_order_id
            if len(self._ours) > _IDS_REMEMBERED:
                del self._ours[next(iter(self._ours))]
        return wire

    def decode(self, wire: str) -> str:
        """Return our id for one from the wire; an id from before a restart is computed."""
        known = self._ours.get(wire)
        if known is not None:
            return known
        if self._hex and wire.startswith("0x"):
            return _base36(int(wire, 16)).zfill(_ID_LENGTH)
        return wire.removeprefix(self._prefix)


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits or "0"
