"""What was asked of the guard and is not answered yet."""

from __future__ import annotations

import concurrent.futures
import itertools
import threading
from typing import Any

from kit.guard.messages import GuardReport


class Answers:
    """Numbers commands and pings, and hands each its answer; every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._commands: dict[int, tuple[dict[str, Any], concurrent.futures.Future[GuardReport]]] = {}
        self._pings: dict[int, threading.Event] = {}

    def command(self, reason: str, until: str) -> tuple[dict[str, Any], concurrent.futures.Future[GuardReport]]:
        """Return the message that orders to cancel what was made before the order id ``until``, and its answer."""
        answer: concurrent.futures.Future[GuardReport] = concurrent.futures.Future()
        with self._lock:
            number = next(self._numbers)
            message = {"do": "cancel", "number": number, "reason": reason, "id": until}
            self._commands[number] = message, answer
        return message, answer

    def unanswered(self) -> list[dict[str, Any]]:
        """Return the messages of the commands that wait: a new guard process has to hear them again."""
        with self._lock:
            return [message for message, _ in self._commands.values()]

    def settle(self, report: GuardReport) -> None:
        """Answer the commands that a report is about."""
        with self._lock:
            found = [self._commands.pop(number)[1] for number in report.commands if number in self._commands]
        for answer in found:
            if answer.set_running_or_notify_cancel():
                answer.set_result(report)

    def drop(self) -> None:
        """Cancel what waits: no answer will come."""
        with self._lock:
            waiting = [answer for _, answer in self._commands.values()]
            self._commands.clear()
        for answer in waiting:
            answer.cancel()

    def ping(self, do: str = "ping") -> tuple[dict[str, Any], threading.Event]:
        """Return the message of a ping, or of another question that is answered likewise, and what its answer sets."""
        answered = threading.Event()
        with self._lock:
            number = next(self._numbers)
            self._pings[number] = answered
        return {"do": do, "number": number}, answered

    def pong(self, number: int) -> None:
        """Take the answer to a ping in, or give it up."""
        with self._lock:
            answered = self._pings.pop(number, None)
        if answered is not None:
            answered.set()
