"""Reads a request's parameters as the exchange does: typed, checked, and none left over."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal

import orjson

from kit.testnet import binance_errors as errors

SYMBOL_RANGE = "^[A-Z0-9-_.]{1,20}$"
INTEGER_RANGE = "^[0-9]{1,20}$"
DECIMAL_RANGE = "^([0-9]{1,20})(\\.[0-9]{1,20})?$"
CLIENT_ID_RANGE = "^[a-zA-Z0-9-_]{1,36}$"
_PATTERNS: dict[str, re.Pattern[str]] = {}
_DIGITS_AFTER_POINT = 8


def _matches(value: str, legal: str) -> bool:
    pattern = _PATTERNS.get(legal)
    if pattern is None:
        pattern = _PATTERNS[legal] = re.compile(legal)
    # fullmatch: "$" alone would let a trailing line end through
    return pattern.fullmatch(value) is not None


class Params:
    """The parameters of one request, by name, as text.

    Every getter marks its parameter as read; ``finish`` then refuses the request when others were sent. Getters raise
    ``ApiError`` with the exchange's code: -1100 characters, -1102 missing, -1105 empty, -1111 precision, -1130 range.
    """

    __slots__ = ("_read", "_values")

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self._read: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def ignore(self, *names: str) -> None:
        """Mark parameters as read that the endpoint accepts and has no use for."""
        self._read.update(names)

    def finish(self) -> None:
        """Refuse the request (-1104) when a parameter was sent that nobody read."""
        known = sum(1 for name in self._values if name in self._read)
        if known != len(self._values):
            raise errors.unread(known, len(self._values))

    def text(self, name: str, legal: str | None = None) -> str | None:
        """Return a parameter's text, ``None`` when it was not sent."""
        self._read.add(name)
        value = self._values.get(name)
        if value is None:
            return None
        if not value:
            raise errors.empty(name)
        if legal is not None and not _matches(value, legal):
            raise errors.illegal_characters(name, legal)
        return value

    def required(self, name: str, legal: str | None = None) -> str:
        """Return a mandatory parameter's text."""
        if not self._values.get(name):
            self._read.add(name)
            raise errors.missing(name)
        value = self.text(name, legal)
        assert value is not None
        return value

    def integer(self, name: str) -> int | None:
        """Return a whole number, ``None`` when it was not sent."""
        value = self.text(name, INTEGER_RANGE)
        return None if value is None else int(value)

    def limit(self, default: int = 500, maximum: int = 1000) -> int:
        """Return the parameter ``limit``, cut to the maximum as the exchange does; -1130 when it is zero."""
        value = self.integer("limit")
        if value is None:
            return default
        if value == 0:
            raise errors.invalid_value("limit")
        return min(value, maximum)

    def decimal(self, name: str) -> Decimal | None:
        """Return a decimal above or at zero with at most eight digits after the point."""
        value = self.text(name, DECIMAL_RANGE)
        if value is None:
            return None
        _, _, digits = value.partition(".")
        if len(digits.rstrip("0")) > _DIGITS_AFTER_POINT:
            raise errors.too_precise(name)
        return Decimal(value)

    def client_id(self, name: str) -> str | None:
        """Return a client order id, ``None`` when it was not sent."""
        return self.text(name, CLIENT_ID_RANGE)

    def choice(self, name: str, allowed: Iterable[str], code: int = 0, message: str = "") -> str | None:
        """Return one of the allowed words, ``None`` when it was not sent; raises ``code`` for others."""
        value = self.text(name)
        if value is not None and value not in allowed:
            raise errors.ApiError(code, message) if code else errors.invalid_value(name)
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a boolean written as ``true`` or ``false``."""
        value = self.text(name)
        if value is None:
            return default
        if value not in ("true", "false"):
            raise errors.invalid_value(name)
        return value == "true"

    def symbols(self) -> list[str] | None:
        """Return the JSON list in ``symbols`` or the one name in ``symbol``; ``None`` when neither was sent."""
        single, many = self.text("symbol", SYMBOL_RANGE), self.text("symbols")
        if single is not None and many is not None:
            raise errors.ApiError(-1128, "Combination of optional parameters invalid.")
        if many is None:
            return None if single is None else [single]
        try:
            names = orjson.loads(many)
        except orjson.JSONDecodeError:
            names = None
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise errors.ApiError(-1135, "JSON sent for parameter 'symbols' is not valid")
        if len(set(names)) != len(names):
            raise errors.ApiError(-1151, "Symbol is present multiple times in the list.")
        return names
