"""Who signed a request, and when: the two forms of Binance's HMAC signature and its time window.

REST signs the raw query string followed by the raw body, without the signature itself. The WebSocket API signs the
parameters sorted by name as ``name=value`` pairs. Only HMAC keys exist here, no RSA or Ed25519 ones.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping

from kit.testnet import binance_errors as errors

DEFAULT_RECV_WINDOW_MS = 5000.0
MAX_RECV_WINDOW_MS = 60_000.0
_AHEAD_MS = 1000
_MICROSECONDS_FROM = 10**14  # a timestamp this large is in microseconds; in milliseconds it would be the year 5138
_SIGNATURE = re.compile(r"(?:^|&)signature=([^&]*)")
_WINDOW = re.compile(r"[0-9]{1,5}(\.[0-9]{1,3})?")
KEY_LENGTH = 64


def new_key() -> str:
    """Return a random key or secret of the exchange's form: 64 characters."""
    return secrets.token_hex(KEY_LENGTH // 2)


def sign(secret: str, payload: str) -> str:
    """Return the HMAC-SHA256 of a payload as hexadecimal text."""
    return hmac.new(secret.encode(), payload.encode(errors="surrogateescape"), hashlib.sha256).hexdigest()


def rest_payload(query: str, body: str) -> str:
    """Return what a REST request signs: raw query and raw body, one after the other, without the signature."""
    return _SIGNATURE.sub("", query) + _SIGNATURE.sub("", body)


def ws_payload(params: Mapping[str, str]) -> str:
    """Return what a WebSocket API request signs: sorted ``name=value`` pairs without the signature."""
    return "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "signature")


def check_key_format(api_key: str | None) -> str:
    """Return the key when it looks like one; raises -2014 (401) when there is none or it cannot be one."""
    if not api_key or not api_key.isalnum():
        raise errors.ApiError(-2014, "API-key format invalid.", status=401)
    return api_key


def unknown_key() -> errors.ApiError:
    """Return -2015 (401): no account has that key."""
    return errors.ApiError(-2015, "Invalid API-key, IP, or permissions for action.", status=401)


def check_signature(secret: str, payload: str, signature: str) -> None:
    """Raise -1022 unless the signature is that of the payload; upper and lower case hexadecimal are the same."""
    given = signature.lower().encode(errors="surrogateescape")
    if not hmac.compare_digest(sign(secret, payload).encode(), given):
        raise errors.ApiError(-1022, "Signature for this request is not valid.")


def check_timing(timestamp: int, recv_window: str | None, now_ms: int) -> None:
    """Raise -1021 when the request is too old or from the future, -1131 when its window is over 60 s.

    ``timestamp`` is in milliseconds or microseconds since the epoch, ``recv_window`` in milliseconds (default 5000).
    """
    window = DEFAULT_RECV_WINDOW_MS
    if recv_window is not None:
        if _WINDOW.fullmatch(recv_window) is None:
            raise errors.illegal_characters("recvWindow", "^[0-9]{1,5}(\\.[0-9]{1,3})?$")
        window = float(recv_window)
        if window > MAX_RECV_WINDOW_MS:
            raise errors.ApiError(-1131, "recvWindow must be less than 60000")
    stamp = timestamp / 1000 if timestamp >= _MICROSECONDS_FROM else timestamp
    if stamp >= now_ms + _AHEAD_MS:
        raise errors.ApiError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now_ms - stamp > window:
        raise errors.ApiError(-1021, "Timestamp for this request is outside of the recvWindow.")
