"""The clients' WebSockets: a bounded queue of frames each, pings answered, slow readers cut and counted."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from aiohttp import WSMsgType, web

from kit.testnet.faults import FaultBoard

log = logging.getLogger(__name__)

Kind: TypeAlias = Literal["market", "user"]
_PING_EVERY_S = 120.0  # aiohttp waits half of it for the pong: a client has a minute, as on the real exchange
_CHANNEL = {"market": "stream", "user": "ws_api"}


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How much may wait for one slow reader before it is cut."""

    messages: int = 20_000
    size: int = 64 * 1024 * 1024


class Session(Protocol):
    """What a socket's messages are handed to."""

    def opened(self, socket: Socket) -> None:
        """Begin: the socket can send now."""
        ...

    def received(self, data: bytes) -> None:
        """Take one text message."""
        ...

    def closed(self) -> None:
        """End: nothing can be sent any more."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return what the session is about as plain values."""
        ...


class Socket:
    """One client's WebSocket. ``send`` never waits: it queues, and cuts a client that does not read."""

    def __init__(
        self, number: int, kind: Kind, response: web.WebSocketResponse, request: web.BaseRequest, sockets: Sockets
    ) -> None:
        self.number = number
        self.kind: Kind = kind
        self.address = request.remote or ""
        self.sent = 0
        self._response = response
        self._transport = request.transport
        self._sockets = sockets
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._wake = asyncio.Event()

    def send(self, frame: bytes) -> None:
        """Queue one text frame."""
        if self._sockets.in_black_hole(self.kind):
            return
        self._queue.append(frame)
        self._queued_bytes += len(frame)
        limits = self._sockets.limits
        if len(self._queue) > limits.messages or self._queued_bytes > limits.size:
            self._sockets.counts["slow_cut"] += 1
            log.warning("cutting socket %s: %s messages wait for it", self.number, len(self._queue))
            self.cut()
            return
        self._wake.set()

    def cut(self) -> None:
        """Cut the connection without a closing handshake."""
        self._queue.clear()
        self._queued_bytes = 0
        if self._transport is not None:
            self._transport.abort()

    async def close(self, code: int = 1000) -> None:
        """Close with a handshake."""
        await self._response.close(code=code)

    @property
    def waiting(self) -> int:
        """How many frames wait to be sent."""
        return len(self._queue)

    async def read(self, session: Session) -> None:
        """Hand text messages to the session and answer pings until the client goes."""
        while True:
            message = await self._response.receive()
            if message.type is WSMsgType.TEXT:
                if not self._sockets.in_black_hole(self.kind):
                    session.received(message.data)
            elif message.type is WSMsgType.PING:
                if not self._sockets.in_black_hole(self.kind):
                    await self._response.pong(message.data)
            elif message.type not in (WSMsgType.PONG, WSMsgType.BINARY):
                return

    async def write(self) -> None:
        """Send what is queued until cancelled or the client is gone."""
        queue, send = self._queue, self._response.send_frame
        counts = self._sockets.counts
        try:
            while True:
                while queue:
                    frame = queue.popleft()
                    self._queued_bytes -= len(frame)
                    self.sent += 1
                    counts["messages_sent"] += 1
                    await send(frame, WSMsgType.TEXT)
                self._wake.clear()
                await self._wake.wait()
        except ConnectionError:
            return  # the reader sees the same end and cleans up


class Sockets:
    """Every open WebSocket, and totals over all that ever were."""

    def __init__(self, faults: FaultBoard, limits: QueueLimits | None = None) -> None:
        self.limits = limits or QueueLimits()
        self.counts: Counter[str] = Counter()
        self._faults = faults
        self._open: dict[Socket, Session] = {}
        self._numbers = itertools.count(1)

    def in_black_hole(self, kind: Kind) -> bool:
        """Tell whether sockets of a kind are to behave as if their network had gone."""
        return self._faults.find(("black_hole",), kind, _CHANNEL[kind]) is not None

    def refused(self, kind: Kind) -> bool:
        """Tell whether new sockets of a kind are refused just now."""
        return self._faults.find((f"cut_{kind}",), kind, _CHANNEL[kind]) is not None

    def of_kind(self, kind: Kind) -> list[Socket]:
        """Return the open sockets of a kind."""
        return [socket for socket in self._open if socket.kind == kind]

    def cut(self, kind: Kind) -> int:
        """Cut all sockets of a kind; returns how many there were."""
        sockets = self.of_kind(kind)
        for socket in sockets:
            socket.cut()
        return len(sockets)

    async def close(self) -> None:
        """Close every socket with a handshake, none of which may hold up the others."""
        await asyncio.gather(*(socket.close(1001) for socket in list(self._open)), return_exceptions=True)

    def describe(self) -> list[dict[str, Any]]:
        """Return the open sockets as plain values."""
        return [
            {
                "id": socket.number,
                "kind": socket.kind,
                "sent": socket.sent,
                "waiting": socket.waiting,
                **session.describe(),
            }
            for socket, session in self._open.items()
        ]

    async def serve(
        self, request: web.BaseRequest, kind: Kind, new_session: Callable[[], Session]
    ) -> web.StreamResponse:
        """Turn a request into a socket and stay with it until it ends."""
        if self.refused(kind):
            return web.Response(status=503, text="refused by a fault")
        response = web.WebSocketResponse(
            autoping=False, heartbeat=_PING_EVERY_S, compress=False, decode_text=False, timeout=1.0
        )
        if not response.can_prepare(request):
            return web.Response(status=426, text="this address wants a WebSocket", headers={"Upgrade": "websocket"})
        await response.prepare(request)
        socket, session = Socket(next(self._numbers), kind, response, request, self), new_session()
        self._open[socket] = session
        self.counts[f"{kind}_opened"] += 1
        writer = asyncio.create_task(socket.write(), name=f"socket {socket.number} writer")
        try:
            session.opened(socket)
            await socket.read(session)
        finally:
            session.closed()
            del self._open[socket]
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        return response
