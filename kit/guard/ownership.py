"""Whose an open order is, told by its client order id alone."""

from __future__ import annotations

from dataclasses import dataclass

from kit.connectors.client_order_ids import ID_LENGTH, TAG_LENGTH

_SALT_LENGTH = 3


@dataclass(frozen=True, slots=True)
class Ownership:
    """Tells a core's orders from those of others on the same account.

    An id is tag, time and salt (``kit.connectors.client_order_ids``). The core's are those of its tag that its own
    process made (its salt), and those left from runs before it, made before ``born``, the first id that it made
    itself. So the guard of a core that died does not touch the orders of the next core of that name.
    """

    tag: str
    salt: str
    born: str

    @classmethod
    def since(cls, born: str) -> Ownership:
        """Return the ownership of the generator that just made the id ``born``."""
        return cls(born[:TAG_LENGTH], born[-_SALT_LENGTH:], born)

    def owns(self, client_order_id: str | None, until: str | None = None) -> bool:
        """Tell whether an order is this core's and, with ``until`` (an id of the core), was made before that id."""
        if client_order_id is None or len(client_order_id) != ID_LENGTH or not client_order_id.startswith(self.tag):
            return False
        if not client_order_id.endswith(self.salt):
            return client_order_id < self.born
        return until is None or client_order_id < until
