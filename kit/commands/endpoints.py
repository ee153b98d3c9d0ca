"""What commands may be pointed at instead of the exchange itself."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit.errors import InvalidInput

if TYPE_CHECKING:
    from kit.types.ports import Credentials, Endpoint


@dataclass(frozen=True)
class Address:
    """An exchange's stand-in at a URL."""

    url: str
    credentials: Credentials | None = None


async def endpoint_of(wish: str | None, stack: AsyncExitStack, name: str) -> Endpoint | None:
    """Return what ``--endpoint`` means: nothing, kit's own testnet, which ``stack`` ends, or an address.

    Raises ``InvalidInput``.
    """
    if wish is None:
        return None
    if wish == "testnet":
        from kit.testnet import Testnet

        return await stack.enter_async_context(await Testnet.start(name=name))
    if not wish.startswith(("http://", "https://")):
        raise InvalidInput(f"--endpoint is {wish!r}; give http://host:port, or the word testnet")
    return Address(wish.rstrip("/"))
