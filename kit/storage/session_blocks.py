"""Blocks of a session's file: gzip members that say how long they are, so that damage and a cut-off end differ.

Any gzip tool reads the file. A member's header has an extra field (RFC 1952, 2.3.1.1) with its number, the bytes of its
compressed content, and checksums of all that follows and of the header itself.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from kit.errors import InvalidInput

_FIXED: Final = b"\x1f\x8b\x08\x04" + bytes(4) + b"\x00\xff"  # deflate, with an extra field, no time, no system named
_FIELD: Final = struct.Struct("<H2sHIII")  # bytes of all fields, this one's name and bytes; number, size, checksum
_CHECK: Final = struct.Struct("<I")
_END: Final = struct.Struct("<II")  # gzip's own: checksum and size of the content
_HEADER: Final = len(_FIXED) + _FIELD.size + _CHECK.size
_OWN_ZEROS: Final = 3
"""Zeros that a whole block may end with: the high bytes of its content's size."""

_NAME: Final = b"kt"


def pack(number: int, content: bytes, level: int) -> bytes:
    """Return a block."""
    compressor = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = compressor.compress(content) + compressor.flush()
    body = packed + _END.pack(zlib.crc32(content), len(content) & 0xFFFFFFFF)
    return _header(number, len(body), zlib.crc32(body)) + body


def _header(number: int, size: int, checksum: int) -> bytes:
    payload = _FIELD.size - 6 + _CHECK.size
    header = _FIXED + _FIELD.pack(4 + payload, _NAME, payload, number, size, checksum)
    return header + _CHECK.pack(zlib.crc32(header))


def unpack(data: bytes) -> Iterator[bytes]:
    """Give the content of each block; at an end that is cut off, what is readable of it, then ``EOFError``.

    Bytes that are all zero at the end count as cut off: so a file is left where the machine lost its power.
    Raises ``InvalidInput`` that says where, for damage anywhere else.
    """
    at = number = 0
    while at < len(data):
        header = data[at : at + _HEADER]
        if not data[at] and not any(data[at:]):
            raise EOFError
        told = _told(header, number)
        if told is None:
            if not any(data[at + _HEADER :]) and _FIXED.startswith(header[: len(_FIXED)].rstrip(b"\0")):
                raise EOFError
            raise InvalidInput(_damaged(at, number))
        size, checksum = told
        begin, end = at + _HEADER, at + _HEADER + size
        body = data[begin:end]
        if zlib.crc32(body) != checksum:
            written = body.rstrip(b"\0")
            unwritten = len(body) < size or size - len(written) > _OWN_ZEROS
            if not unwritten or any(data[end:]):
                raise InvalidInput(_damaged(at, number))
            yield _readable(written)
            raise EOFError
        yield zlib.decompress(body[: -_END.size], -zlib.MAX_WBITS)
        at, number = end, number + 1


def _told(header: bytes, number: int) -> tuple[int, int] | None:
    """Return the bytes and the checksum of the content that a whole and right header tells of."""
    if len(header) < _HEADER:
        return None
    *_, size, checksum = _FIELD.unpack_from(header, len(_FIXED))
    return (size, checksum) if header == _header(number, size, checksum) else None


def _readable(packed: bytes) -> bytes:
    """Return as many whole lines as the beginning of a block gives."""
    decompressor = zlib.decompressobj(-zlib.MAX_WBITS)
    found = b""
    try:
        for start in range(0, len(packed), 256):
            found += decompressor.decompress(packed[start : start + 256])
    except zlib.error:  # behind the place where the writing stopped
        pass
    return found[: found.rfind(b"\n") + 1]


def _damaged(at: int, number: int) -> str:
    return f"damaged in its block {number}, which begins at byte {at:,}"
