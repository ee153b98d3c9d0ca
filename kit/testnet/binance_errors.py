"""The errors that the wire answers with: HTTP status, Binance's code and message.

Codes and wording follow the exchange's public error list, because clients choose what they raise by them.
"""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """A request is refused: ``status`` is the HTTP status, ``code`` and ``message`` the body.

    ``data`` is an optional part of the body. ``retry_at_ms`` (429, 418) tells from when on asking again makes sense.
    """

    def __init__(
        self, code: int, message: str, *, status: int = 400, data: Any = None, retry_at_ms: int | None = None
    ) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
        self.status = status
        self.data = data
        self.retry_at_ms = retry_at_ms

    def body(self) -> dict[str, Any]:
        """Return the JSON body: code, message and, where there is any, data."""
        body: dict[str, Any] = {"code": self.code, "msg": self.message}
        if self.data is not None:
            body["data"] = self.data
        return body


def illegal_characters(name: str, legal: str) -> ApiError:
    """Return -1100: the value of a parameter does not match its pattern."""
    return ApiError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def missing(name: str) -> ApiError:
    """Return -1102: a mandatory parameter is not there or cannot be read."""
    return ApiError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def missing_either(first: str, second: str) -> ApiError:
    """Return -1102: one of two parameters is needed."""
    return ApiError(-1102, f"Param '{first}' or '{second}' must be sent, but both were empty/null!")


def unread(read: int, sent: int) -> ApiError:
    """Return -1104: parameters were sent that the endpoint does not know."""
    return ApiError(
        -1104, f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{sent}' parameter(s)."
    )


def empty(name: str) -> ApiError:
    """Return -1105: a parameter was sent without a value."""
    return ApiError(-1105, f"Parameter '{name}' was empty.")


def not_required(name: str) -> ApiError:
    """Return -1106: a parameter does not go with the others."""
    return ApiError(-1106, f"Parameter '{name}' sent when not required.")


def too_precise(name: str) -> ApiError:
    """Return -1111: a decimal has more digits than the asset."""
    return ApiError(-1111, f"Parameter '{name}' has too much precision.")


def invalid_symbol() -> ApiError:
    """Return -1121: no such symbol is traded here."""
    return ApiError(-1121, "Invalid symbol.")


def invalid_value(name: str) -> ApiError:
    """Return -1130: a value is of the right kind but out of range."""
    return ApiError(-1130, f"Data sent for parameter '{name}' is not valid.")


def unknown_operation() -> ApiError:
    """Return -1020 with 404: the path or method does not exist on this exchange."""
    return ApiError(-1020, "This operation is not supported.", status=404)
