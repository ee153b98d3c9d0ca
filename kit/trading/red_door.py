"""The red button from another process of the same user, such as a terminal: a door on loopback, its key in a file."""

from __future__ import annotations

import contextlib
import errno
import hmac
import json
import logging
import queue
import secrets
import select
import socket
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from kit.config.private_files import write_whole
from kit.errors import NotReady
from kit.trading.instance_lock import Instance, core_file
from kit.trading.red_button import RedButton, RedPress, RedWay

logger = logging.getLogger(__name__)

PATIENCE: Final = 15.0
"""Seconds that whoever presses waits for news."""

_FOLLOWED: Final = 600.0
"""Seconds without news after which the door follows a press no more; longer than anybody waits."""

_SUFFIX: Final = "red"
_LONGEST: Final = 4096
_PIECES: Final = 4
_WORD: Final = 5.0
"""Seconds that a guest has for each of so many pieces of what it says."""

_GUESTS: Final = 16


class RedDoor:
    """Lets other processes of this user press a core's red button, as long as it is open.

    It listens on loopback, in a thread of its own, so that a cell that blocks the core's loop does not keep it from
    pressing; while one C call holds the interpreter's lock nobody is heard. Whoever knocks shows the key of the file,
    which only its owner can read.
    """

    def __init__(self, core_name: str, button: RedButton, instance: Instance) -> None:
        self._core_name = core_name
        self._button = button
        self._path = core_file(core_name, _SUFFIX)
        self._key = secrets.token_hex(16)
        self._instance = instance
        self._guests = threading.BoundedSemaphore(_GUESTS)
        self._sockets: tuple[socket.socket, ...] = ()
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Listen from now on; raises ``OSError``, and ``RuntimeError`` where there can be no more threads."""
        try:
            listening = socket.create_server(("127.0.0.1", 0))
            self._sockets = (listening,)
            listening.setblocking(False)
            self._sockets = (*socket.socketpair(), listening)
            name = f"red button of {self._core_name}"
            self._thread = threading.Thread(target=self._listen, args=self._sockets[1:], name=name, daemon=True)
            self._thread.start()
            write_whole(self._path, self._words(listening.getsockname()[1]), lasting=False)
        except BaseException:
            self.close()
            raise

    def _words(self, port: int) -> bytes:
        words = {"core": self._core_name, "port": port, "key": self._key, "instance": asdict(self._instance)}
        return json.dumps(words).encode()

    def close(self) -> None:
        """Listen no more, and be done with that; idempotent."""
        sockets, self._sockets = self._sockets, ()
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)  # also where a forked child holds a copy: the thread sees the end
        if self._thread is not None and self._thread.ident is not None:
            self._thread.join(1.0)  # it waits for nothing else, and nothing is to be left of a core that stopped
        for one in sockets:
            one.close()
        known = _read(self._path) if sockets else None
        if known is not None and known.key == self._key:  # else another core of this name has opened a door since
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    def __repr__(self) -> str:
        return f"<RedDoor of {self._core_name!r}: {'open' if self._sockets else 'closed'}>"

    # -- for the door's threads ------------------------------------------------------------------------------------

    def _listen(self, woken: socket.socket, listening: socket.socket) -> None:
        while True:
            try:
                ready, _, _ = select.select([woken, listening], [], [])
                if woken in ready:
                    return
                guest, _ = listening.accept()
            except (OSError, ValueError) as error:  # ValueError: a socket that is closed
                if not self._sockets:
                    return
                if getattr(error, "errno", None) not in (errno.EAGAIN, errno.ECONNABORTED):  # gone again
                    logger.warning("the red button of core %s cannot be reached now: %s", self._core_name, error)
                    select.select([woken], [], [], 1.0)
                continue
            self._admit(guest)

    def _admit(self, guest: socket.socket) -> None:
        if not self._guests.acquire(blocking=False):
            guest.close()
            return
        try:
            threading.Thread(target=self._answer, args=(guest,), name="red button pressed", daemon=True).start()
        except RuntimeError as error:  # there can be no more threads
            logger.warning("the red button of core %s cannot answer now: %s", self._core_name, error)
            self._guests.release()
            guest.close()

    def _answer(self, guest: socket.socket) -> None:
        with guest:
            try:
                try:
                    asked = json.loads(_heard(guest))
                    known = hmac.compare_digest(str(asked["key"]).encode(), self._key.encode())
                    reason = str(asked["reason"])
                finally:
                    self._guests.release()
                if known:
                    self._press(reason, guest)
                else:
                    logger.warning("somebody knocked at the red button of core %s without its key", self._core_name)
            except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
                logger.info("red button: somebody knocked who said nothing that is understood: %s", error)

    def _press(self, reason: str, guest: socket.socket) -> None:
        """Press and tell the guest of every change until no way of it is under way."""
        changes: queue.SimpleQueue[RedPress] = queue.SimpleQueue()
        stop_hearing = self._button.add_listener(changes.put)
        try:
            number = self._button(reason).number
            while True:
                press = changes.get(timeout=_FOLLOWED)
                while not changes.empty():  # a way that fails at once is not the end where another begins after it
                    press = changes.get_nowait()
                if press.number < number:
                    continue  # a later one takes the place of this: then its word counts
                guest.sendall(json.dumps(asdict(press)).encode() + b"\n")
                if all(way.stage != "acting" for way in press.ways):
                    return
        except queue.Empty:
            logger.info("red button: nothing new for %g s; whoever pressed it elsewhere is told no more", _FOLLOWED)
        finally:
            stop_hearing()


def _heard(guest: socket.socket) -> bytes:
    """Return the line that a guest says; raises ``TimeoutError``."""
    guest.settimeout(_WORD)
    heard = b""
    for _ in range(_PIECES):
        heard += (piece := guest.recv(_LONGEST))
        if not piece or b"\n" in piece or len(heard) >= _LONGEST:
            break
    return heard.partition(b"\n")[0]


# -- for whoever knocks ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenDoor:
    """The red button of a core that another process runs: who that is, and the way there."""

    core_name: str
    instance: Instance
    port: int
    key: str = field(repr=False)

    @property
    def open(self) -> bool:
        """Tell whether somebody listens there."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=_WORD).close()
        except ConnectionRefusedError:
            return False
        except OSError as error:
            logger.info("the door of core %s: %s", self.core_name, error)
        return True

    def press(self, reason: str, hear: Callable[[RedPress], None], patience: float = PATIENCE) -> RedPress:
        """Press, call ``hear`` at every change, and return how it stands once it is done or has failed.

        Raises ``NotReady`` when nobody listens, or for ``patience`` seconds nothing more is heard.
        """
        press: RedPress | None = None
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=patience) as line:
                line.sendall(json.dumps({"key": self.key, "reason": reason}).encode() + b"\n")
                with line.makefile("rb") as reading:
                    for words in reading:
                        press = _press_of(json.loads(words))
                        hear(press)
                        if press.stage == "done":
                            return press
        except ConnectionRefusedError:
            raise NotReady(
                f"nobody listens for core {self.core_name!r} any more: it has stopped, or {self.instance} has ended. "
                "Where it had a guard, that cancels what is left; look at core.guard_log, or at the exchange"
            ) from None
        except TimeoutError:
            raise self._silent(press, f"nothing new for {patience:g} s") from None
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise self._silent(press, f"{type(error).__name__}: {error}") from error
        if press is None or press.stage == "acting":
            raise self._silent(press, "it hung up")
        return press

    def _silent(self, press: RedPress | None, why: str) -> NotReady:
        if press is not None:
            stands = f"it goes on there, and stood last at {press}"
        else:
            stands = "it has not answered: where a long C call holds it, it is pressed when that has ended"
        return NotReady(f"the red button of core {self.core_name!r} in {self.instance}, {why}: {stands}")


def open_doors() -> list[OpenDoor]:
    """Return the doors of cores that processes of this user run, by the core's name.

    A file that does not read, such as another version's, is told of in the log.
    """
    folder = core_file("", _SUFFIX).parent
    doors = [_read(path) for path in sorted(folder.glob(f"*.{_SUFFIX}"))]
    known = [door for door in doors if door is not None and door.instance.alive and door.open]
    return sorted(known, key=lambda door: door.core_name)


def _read(path: Path) -> OpenDoor | None:
    try:
        words = json.loads(path.read_bytes())
        return OpenDoor(words["core"], Instance(**words["instance"]), int(words["port"]), str(words["key"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError) as error:
        logger.warning("%s does not read, the core that it is of is not reached: %s", path, error)
        return None


def _press_of(words: dict[str, Any]) -> RedPress:
    ways = tuple(RedWay(**way) for way in words["ways"])
    return RedPress(words["number"], words["reason"], words["time"], ways, words["took"])
