"""The one place where spellings of trading pairs are made uniform."""

from __future__ import annotations

import re

from kit.errors import InvalidInput

_UNIFIED = re.compile(r"[^\s/:\-]+/[^\s/:\-]+(:[^\s/]+)?")
_DASHED = re.compile(r"([^\s/:\-]+)-([^\s/:\-]+)")


def normalize_pair(trading_pair: str) -> str:
    """Return ccxt's unified symbol of a trading pair.

    ``BTC/USDT`` and ``BTC/USDT:USDT`` pass unchanged; Hummingbot's ``BTC-USDT`` becomes ``BTC/USDT``; small letters
    become capitals. Raises ``InvalidInput`` for anything else.
    """
    if not isinstance(trading_pair, str):
        raise InvalidInput(
            f"a trading pair is a text such as 'BTC/USDT', not {trading_pair!r} of type {type(trading_pair).__name__}"
        )
    pair = trading_pair.strip().upper()
    if _UNIFIED.fullmatch(pair):
        return pair
    dashed = _DASHED.fullmatch(pair)
    if dashed:
        return f"{dashed[1]}/{dashed[2]}"
    raise InvalidInput(
        f"{trading_pair!r} is no trading pair; write base/quote as in 'BTC/USDT', "
        f"or base/quote:settle as in 'BTC/USDT:USDT' for a perpetual"
    )
