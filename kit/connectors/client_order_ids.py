"""Client order ids: unique across restarts, and telling whose they are."""

from __future__ import annotations

import hashlib
import random
import string
import threading
from typing import Final

from kit.core.clock import SYSTEM_TIME, TimeSource

ID_LENGTH: Final = 18
"""Characters in an id; with letters and digits only, this fits every exchange's limit but Hyperliquid's."""

TAG_LENGTH: Final = 5
_STAMP_LENGTH: Final = 10
_SALT_LENGTH: Final = ID_LENGTH - TAG_LENGTH - _STAMP_LENGTH
_DIGITS: Final = string.digits + string.ascii_lowercase


_PAIRS: Final = tuple(high + low for high in _DIGITS for low in _DIGITS)


def _base36(number: int, length: int) -> str:
    text = ""
    for _ in range((length + 1) // 2):
        number, remainder = divmod(number, 1296)
        text = _PAIRS[remainder] + text
    return text[-length:]


def tag_of(core_name: str) -> str:
    """Return the five characters that begin every client order id of the core of that name.

    The same name gives the same tag after a restart, in another process and on another machine, so that "this core's
    orders" can be told on the exchange. Run cores on one account under different names.
    """
    digest = hashlib.sha256(core_name.encode()).digest()
    return _base36(int.from_bytes(digest[:8], "big"), TAG_LENGTH)


class ClientOrderIds:
    """Makes client order ids of 18 letters and digits: tag, time in microseconds, salt of this process.

    Ids of one generator strictly rise; the time keeps them apart from those before a restart, the salt from those of
    another process of the same name in the same microsecond. Callable from any thread.
    """

    def __init__(
        self, core_name: str, *, time_source: TimeSource = SYSTEM_TIME, rng: random.Random | None = None
    ) -> None:
        self.tag = tag_of(core_name)
        self._time_source = time_source
        self.salt = _base36((rng or random.SystemRandom()).randrange(36**_SALT_LENGTH), _SALT_LENGTH)
        self._last_stamp = 0
        self._lock = threading.Lock()

    def next(self) -> str:
        """Return a new id."""
        with self._lock:
            self._last_stamp = max(self._last_stamp + 1, int(self._time_source.time() * 1e6))
            return self.tag + _base36(self._last_stamp, _STAMP_LENGTH) + self.salt

    def owns(self, client_order_id: str | None) -> bool:
        """Tell whether an id was made by a core of this name."""
        return (
            client_order_id is not None and len(client_order_id) == ID_LENGTH and client_order_id.startswith(self.tag)
        )

    def made_here(self, client_order_id: str) -> bool:
        """Tell whether an id was made by this very generator, that is, in this run."""
        return self.owns(client_order_id) and client_order_id.endswith(self.salt)
