"""Measure what the test exchange serves on one core: orders over its WebSocket and REST APIs, and stream messages.

Run ``python benchmarks/testnet_server.py [--seconds 1.5]``. Everything stays on 127.0.0.1. The load is sent by this
process and served by another. ``a CPU second`` is a second of the server's own CPU time, which holds on a machine that
does other things too; the last column compares it with pings (empty requests) over the same API in the same run, and
with the targets of 2,000 orders and 5,000 messages a second on one core.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp
import orjson
import psutil

from kit.testnet import Testnet

LIMITS = {"weight": 10**9, "orders_10s": 10**9, "orders_day": 10**9}
PIPELINE = 50
LISTENERS = 5
EXPIRING, TRADING = "59000", "60000"
STREAMS = "/stream.binance.com/ws/btcusdt@trade/btcusdt@bookTicker/btcusdt@aggTrade"


@dataclass
class Result:
    what: str
    count: int
    wall: float
    cpu: float

    def line(self, reference: Result | None, target: int | None) -> str:
        text = f"{self.what:32} {self.count / self.wall:8,.0f} a second {self.count / self.cpu:9,.0f} a CPU second"
        if reference is not None:
            text += f"   {self.cpu / self.count / (reference.cpu / reference.count):5.1f} x a ping's CPU"
        if target is not None:
            text += f"   {self.count / self.cpu / target:4.1f} x the target"
        return text


def signed(testnet: Testnet, params: dict[str, str]) -> dict[str, str]:
    params = {
        **params,
        "apiKey": testnet.credentials.api_key,
        "recvWindow": "60000",
        "timestamp": str(int(time.time() * 1000)),
    }
    payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
    secret = testnet.credentials.secret.encode()
    return {**params, "signature": hmac.new(secret, payload.encode(), hashlib.sha256).hexdigest()}


def signed_body(testnet: Testnet, params: dict[str, str]) -> str:
    body = "&".join(f"{k}={v}" for k, v in params.items()) + f"&recvWindow=60000&timestamp={int(time.time() * 1000)}"
    digest = hmac.new(testnet.credentials.secret.encode(), body.encode(), hashlib.sha256).hexdigest()
    return f"{body}&signature={digest}"


def limit_order(index: int, price: str) -> dict[str, str]:
    return {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "IOC",
        "quantity": "0.00100",
        "price": price,
        "newClientOrderId": f"bench{index}",
        "newOrderRespType": "FULL",
        "selfTradePreventionMode": "NONE",
    }


async def measure(testnet: Testnet, what: str, work: Callable[[], Awaitable[int]]) -> Result:
    process = psutil.Process(testnet.pid)
    cpu = sum(process.cpu_times()[:2])
    start = time.perf_counter()
    count = await work()
    wall = time.perf_counter() - start
    return Result(what, count, wall, sum(process.cpu_times()[:2]) - cpu)


async def orders_over_ws(testnet: Testnet, seconds: float, price: str) -> int:
    url = testnet.url.replace("http", "ws", 1) + "/ws-api.binance.com/ws-api/v3"
    done = 0
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for index in range(PIPELINE):
                params = signed(testnet, {**limit_order(done + index, price), "returnRateLimits": "false"})
                await socket.send_str(json.dumps({"id": index, "method": "order.place", "params": params}))
            for _ in range(PIPELINE):
                answer = orjson.loads((await socket.receive()).data)
                assert answer["status"] == 200, answer
            done += PIPELINE
    return done


async def pings_over_ws(testnet: Testnet, seconds: float) -> int:
    url = testnet.url.replace("http", "ws", 1) + "/ws-api.binance.com/ws-api/v3"
    done = 0
    request = json.dumps({"id": 1, "method": "ping", "params": {"returnRateLimits": False}})
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for _ in range(PIPELINE):
                await socket.send_str(request)
            for _ in range(PIPELINE):
                await socket.receive()
            done += PIPELINE
    return done


async def pings_over_rest(testnet: Testnet, seconds: float) -> int:
    end = time.perf_counter() + seconds

    async def worker(session: aiohttp.ClientSession) -> int:
        done = 0
        while time.perf_counter() < end:
            async with session.get(testnet.url + "/api.binance.com/api/v3/ping") as response:
                await response.read()
            done += 1
        return done

    async with aiohttp.ClientSession() as session:
        return sum(await asyncio.gather(*(worker(session) for _ in range(8))))


async def orders_over_rest(testnet: Testnet, seconds: float, price: str) -> int:
    url = testnet.url + "/api.binance.com/api/v3/order"
    headers = {"X-MBX-APIKEY": testnet.credentials.api_key, "Content-Type": "application/x-www-form-urlencoded"}
    end = time.perf_counter() + seconds

    async def worker(session: aiohttp.ClientSession, number: int) -> int:
        done = 0
        while time.perf_counter() < end:
            body = signed_body(testnet, limit_order(number * 10**6 + done, price))
            async with session.post(url, data=body, headers=headers) as response:
                assert response.status == 200, await response.text()
                await response.read()
            done += 1
        return done

    async with aiohttp.ClientSession() as session:
        return sum(await asyncio.gather(*(worker(session, number) for number in range(8))))


async def stream_messages(testnet: Testnet, seconds: float, price: str) -> int:
    """Trade as fast as it goes while some clients listen; counts the messages that they get."""
    url = (
        testnet.url.replace("http", "ws", 1)
        + "/stream.binance.com/ws/btcusdt@trade/btcusdt@bookTicker/btcusdt@aggTrade"
    )
    got = 0

    async def listen(socket: aiohttp.ClientWebSocketResponse) -> None:
        nonlocal got
        async for _ in socket:
            got += 1

    async with aiohttp.ClientSession() as session:
        sockets = [await session.ws_connect(url) for _ in range(LISTENERS)]
        listeners = [asyncio.create_task(listen(socket)) for socket in sockets]
        await orders_over_ws(testnet, seconds, price)
        await asyncio.sleep(0.2)
        for socket in sockets:
            await socket.close()
        await asyncio.gather(*listeners)
    return got


async def main(seconds: float) -> list[str]:
    deposits = {"USDT": 10**9, "BTC": 10**6}
    async with await Testnet.start("bench", flow=False, limits=LIMITS, deposits=deposits) as testnet:
        for _ in range(10):
            await testnet.trade("BTC/USDT", "sell", 100, TRADING)
        ws_ping = await measure(testnet, "pings, WebSocket API", lambda: pings_over_ws(testnet, seconds))
        rest_ping = await measure(testnet, "pings, REST", lambda: pings_over_rest(testnet, seconds))
        lines = [ws_ping.line(None, None), rest_ping.line(None, None)]
        for what, load, price, reference, target in (
            ("orders, WebSocket API, expiring", orders_over_ws, EXPIRING, ws_ping, 2000),
            ("orders, WebSocket API, trading", orders_over_ws, TRADING, ws_ping, 2000),
            ("orders, REST, trading", orders_over_rest, TRADING, rest_ping, 2000),
            (f"stream messages to {LISTENERS} clients", stream_messages, TRADING, None, 5000),
        ):
            result = await measure(testnet, what, functools.partial(load, testnet, seconds, price))
            lines.append(result.line(reference, target))
        stats, ledger = await testnet.stats(), await testnet.ledger()
        lines.append(f"slow clients cut: {stats.get('slow_cut', 0)}; ledger balanced: {ledger.balanced}")
        return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.5, help="length of each of the six measurements")
    print("\n".join(asyncio.run(main(parser.parse_args().seconds))))
