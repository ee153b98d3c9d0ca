"""A time iterator with a network: checked, started, stopped, and started again with growing pauses."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from enum import Enum

from kit.core.clock import SYSTEM_TIME
from kit.core.tasks import TaskSupervisor
from kit.core.time_iterator import TimeIterator
from kit.core.time_source import TimeSource
from kit.core.waiting import wait_for
from kit.errors import InvalidInput, NotReady, TryAgain

logger = logging.getLogger(__name__)

_MOST_DOUBLINGS = 60


class NetworkStatus(Enum):
    """Whether a network iterator is closed, unreachable, or up."""

    STOPPED = 0
    NOT_CONNECTED = 1
    CONNECTED = 2


class Backoff:
    """Pauses that double from ``initial`` to ``maximum`` seconds, each shortened at random by up to half.

    The randomness keeps many clients of a recovering exchange from coming back at the same moment.
    """

    def __init__(self, initial: float, maximum: float, rng: random.Random | None = None) -> None:
        if not 0 < initial <= maximum < math.inf:
            raise InvalidInput(f"a back-off needs 0 < initial <= maximum seconds, got {initial!r} and {maximum!r}")
        self._initial, self._maximum = initial, maximum
        self._rng = rng or random.Random()
        self._failures = 0

    def reset(self) -> None:
        """Begin at ``initial`` again, after a success."""
        self._failures = 0

    def next(self) -> float:
        """Return the seconds to wait after one more failure."""
        doublings = min(self._failures, _MOST_DOUBLINGS)
        self._failures += 1
        return min(self._initial * 2.0**doublings, self._maximum) * (0.5 + 0.5 * self._rng.random())


class NetworkIterator(TimeIterator):
    """Keep a network up: override ``check_network``, ``start_network`` and ``stop_network``.

    From ``open`` to ``close`` a loop calls ``check_network`` every ``check_interval`` seconds, within
    ``check_timeout``. The first good check calls ``start_network``, within ``start_timeout``; when that returned the
    status is CONNECTED. An error or a time-out of either stops what was started (``stop_network``, within
    ``stop_timeout``), and the next attempt comes after an exponential back-off with jitter. ``stop_network`` is always
    awaited before ``start_network`` is called again. All of it is independent of any clock, and belongs on the loop's
    thread. Raises ``InvalidInput`` for times that are not positive.
    """

    def __init__(
        self,
        name: str,
        supervisor: TaskSupervisor,
        *,
        time_source: TimeSource = SYSTEM_TIME,
        check_interval: float = 10.0,
        check_timeout: float = 5.0,
        start_timeout: float = 60.0,
        stop_timeout: float = 10.0,
        backoff_initial: float = 0.5,
        backoff_max: float = 60.0,
        rng: random.Random | None = None,
    ) -> None:
        super().__init__(name)
        times = {"check_interval": check_interval, "check_timeout": check_timeout}
        times |= {"start_timeout": start_timeout, "stop_timeout": stop_timeout}
        for label, seconds in times.items():
            if not seconds > 0:
                raise InvalidInput(f"{label} must be more than 0 seconds, got {seconds!r}")
        self.supervisor = supervisor
        self.time_source = time_source
        self.check_interval, self.check_timeout = check_interval, check_timeout
        self.start_timeout, self.stop_timeout = start_timeout, stop_timeout
        self.last_connected_timestamp = math.nan
        self.last_error = ""
        self._backoff = Backoff(backoff_initial, backoff_max, rng)
        self._network_status = NetworkStatus.STOPPED
        self._network_started = False
        self._check_task: asyncio.Task[None] | None = None
        self._closing = False
        self._wake = asyncio.Event()

    @property
    def network_status(self) -> NetworkStatus:
        """Return STOPPED before ``open`` and after ``close``, else whether the network is up."""
        return self._network_status

    async def check_network(self) -> None:
        """Ask the network for a sign of life; raise when there is none. To be overridden."""

    async def start_network(self) -> None:
        """Start what needs the network. To be overridden; what it starts, ``stop_network`` must stop."""

    async def stop_network(self) -> None:
        """Stop what ``start_network`` started, also when that failed halfway. To be overridden."""

    def open(self) -> None:
        """Start the check loop; harmless when it runs. Raises ``NotReady`` during ``close`` or where no loop runs."""
        if self._closing:
            raise NotReady(f"{self.name} is being closed: await its close() before opening it again")
        if self._check_task is not None and not self._check_task.done():
            return
        self._wake = asyncio.Event()
        self._backoff.reset()
        self._check_task = self.supervisor.spawn(self._check_loop(), name=f"{self.name} network")
        self._network_status = NetworkStatus.NOT_CONNECTED

    async def close(self) -> None:
        """End the check loop and stop the network; harmless when closed."""
        self._closing = True
        try:
            if self._check_task is not None:
                await self.supervisor.cancel(self._check_task, timeout=self.stop_timeout + 1.0)
            await self._take_down()
        finally:
            self._closing = False
            self._check_task = None
            self._network_status = NetworkStatus.STOPPED

    def request_check(self) -> None:
        """Check now instead of at the end of the pause. Harmless when closed."""
        self._wake.set()

    async def _check_loop(self) -> None:
        try:
            while True:
                pause = await self._attempt()
                await self._pause(pause)
        finally:
            # Also when the supervisor is closed before this object is.
            await self._take_down()
            self._network_status = NetworkStatus.STOPPED

    async def _attempt(self) -> float:
        """Check, and start the network when it is not up; return the seconds until the next attempt."""
        self._wake.clear()
        try:
            await wait_for(self.check_network(), self.check_timeout, self.time_source)
            if not self._network_started:
                self._network_started = True
                await wait_for(self.start_network(), self.start_timeout, self.time_source)
        except (Exception, asyncio.CancelledError) as error:  # whatever went wrong: stop, and try again
            if _cancelled(error):
                raise
            pause = self._backoff.next()
            self._note_failure(error, pause)
            await self._take_down()
            return pause
        self._note_success()
        return self.check_interval

    async def _pause(self, seconds: float) -> None:
        try:
            await wait_for(self._wake.wait(), seconds, self.time_source)
        except TimeoutError:
            return

    async def _take_down(self) -> None:
        if not self._network_started:
            return
        try:
            await wait_for(self.stop_network(), self.stop_timeout, self.time_source)
        except (Exception, asyncio.CancelledError) as error:  # a failing stop must not prevent the next start
            if _cancelled(error):
                raise
            logger.exception("%s: stop_network failed", self.name)
        finally:
            self._network_started = False

    def _note_success(self) -> None:
        if self._network_status is not NetworkStatus.CONNECTED:
            logger.info("%s: connected", self.name)
        self._network_status = NetworkStatus.CONNECTED
        self.last_connected_timestamp = self.time_source.time()
        self.last_error = ""
        self._backoff.reset()

    def _note_failure(self, error: BaseException, pause: float) -> None:
        text = f"{type(error).__name__}: {error}".removesuffix(": ")
        if text != self.last_error:
            # Once per kind of failure; a traceback only where the error is not one of a network's ordinary ones.
            ordinary = isinstance(error, TryAgain | OSError)
            trace = None if ordinary else error
            logger.warning("%s: not connected (%s), next attempt in %.1f s", self.name, text, pause, exc_info=trace)
        self.last_error = text
        self._network_status = NetworkStatus.NOT_CONNECTED


def _cancelled(error: BaseException) -> bool:
    """Tell our own cancellation from one that leaked out of a library's inner tasks, which is a failure like others."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0
