"""Puts a test exchange together and serves it on 127.0.0.1.

An address ``scheme://real.host/path`` of the real exchange is served at ``http(s)|ws(s)://127.0.0.1:port/real.host/path``,
so that one rule maps every client; the same paths also work without a host.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from aiohttp import web

from kit.testnet.binance_errors import unknown_operation
from kit.testnet.binance_rest import RestApi
from kit.testnet.binance_streams import session_for
from kit.testnet.binance_ws_api import WsApiSession
from kit.testnet.config import TestnetConfig
from kit.testnet.control import Control
from kit.testnet.parts import Parts

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
_KEEP_ALIVE_S = 75.0


class TestnetServer(Parts):
    """A test exchange with its sockets, on the running loop; ``url`` holds after ``start``."""

    __test__ = False  # the name begins with Test, which pytest would collect

    def __init__(self, config: TestnetConfig, *, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        super().__init__(config, wall=wall, monotonic=monotonic)
        self._rest = RestApi(self.exchange)
        self._control = Control(self)
        self._runner: web.ServerRunner | None = None
        self._beat: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen and let the market act."""
        server = web.Server(self._handle, access_log=None, keepalive_timeout=_KEEP_ALIVE_S)
        self._runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, self.config.port)
        await site.start()
        self.url = f"http://{HOST}:{self._runner.addresses[0][1]}"
        self.activities.start()
        self._beat = asyncio.create_task(self.publishers.run(self.exchange.clock.monotonic), name="publish")
        self._beat.add_done_callback(_report_end)

    async def stop(self) -> None:
        """End the activity, close every socket and stop listening; idempotent."""
        self.stopped.set()
        await self.activities.stop()
        if self._beat is not None:
            self._beat.cancel()
            await asyncio.gather(self._beat, return_exceptions=True)
        await self.sockets.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        segments = path.strip("/").split("/")
        if "." in segments[0] or segments[:2] == ["stream", "ws"]:
            segments = segments[1:]
        match segments:
            case ["api", "v3", *rest]:
                return await self._rest.handle(request, "/".join(rest), query)
            case ["ws-api", "v3"]:
                show = "returnRateLimits=false" not in query
                return await self.sockets.serve(
                    request, "user", lambda: WsApiSession(self.exchange, self.users, show_limits=show)
                )
            case ["ws", *_] | ["stream"]:
                return await self.sockets.serve(request, "market", lambda: session_for(self.hub, segments, query))
            case ["testnet", *rest]:
                return await self._control.handle(request, "/".join(rest))
        error = unknown_operation()
        return web.json_response(error.body(), status=error.status)


def _report_end(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("the publisher of market streams failed", exc_info=task.exception())
