"""The red button from another process of the same user, such as a terminal: a door on loopback, its key in a file."""

from __future__ import annotations

import contextlib
import hmac
import json
import logging
import queue
import secrets
import selectors
import socket
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from kit.config.private_files import write_whole
from kit.errors import NotReady
from kit.trading.instance_lock import Instance, core_file
from kit.trading.red_button import RedButton, RedPress, RedWay

logger = logging.getLogger(__name__)

PATIENCE: Final = 15.0
"""Seconds that a press from elsewhere is followed."""

_SUFFIX: Final = "red"
_LONGEST: Final = 4096
_ANSWER: Final = 5.0


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
        self._wake: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Listen from now on; raises ``OSError``."""
        listening = socket.create_server(("127.0.0.1", 0))
        listening.setblocking(False)
        try:
            write_whole(self._path, self._words(listening.getsockname()[1]), lasting=False)
        except OSError:
            listening.close()
            raise
        self._wake, woken = socket.socketpair()
        name = f"red button of {self._core_name}"
        self._thread = threading.Thread(target=self._listen, args=(listening, woken), name=name, daemon=True)
        self._thread.start()

    def _words(self, port: int) -> bytes:
        words = {"core": self._core_name, "port": port, "key": self._key, "instance": asdict(self._instance)}
        return json.dumps(words).encode()

    def close(self) -> None:
        """Listen no more, and be done with that; idempotent."""
        wake, self._wake = self._wake, None
        if wake is None:
            return
        wake.close()  # the thread sees its end of the pair end
        if self._thread is not None:
            self._thread.join(_ANSWER)  # it waits for nothing else, and nothing is to be left of a core that stopped
        known = _read(self._path)
        if known is not None and known.key == self._key:  # else another core of this name has opened a door since
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    def __repr__(self) -> str:
        return f"<RedDoor of {self._core_name!r}: {'closed' if self._wake is None else 'open'}>"

    # -- for the door's thread -------------------------------------------------------------------------------------

    def _listen(self, listening: socket.socket, woken: socket.socket) -> None:
        with listening, woken, selectors.DefaultSelector() as selector:
            selector.register(listening, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            while all(key.fileobj is not woken for key, _ in selector.select()):
                try:
                    guest, _ = listening.accept()
                except OSError as error:  # whoever knocked has gone again
                    logger.info("red button: %s", error)
                    continue
                threading.Thread(target=self._answer, args=(guest,), name="red button pressed", daemon=True).start()

    def _answer(self, guest: socket.socket) -> None:
        with guest, guest.makefile("rb") as reading:
            guest.settimeout(_ANSWER)
            try:
                asked = json.loads(reading.readline(_LONGEST))
                if not hmac.compare_digest(str(asked["key"]).encode(), self._key.encode()):
                    logger.warning("somebody knocked at the red button of core %s without its key", self._core_name)
                    return
                self._press(str(asked["reason"]), guest)
            except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
                logger.info("red button: somebody knocked who said nothing that is understood: %s", error)

    def _press(self, reason: str, guest: socket.socket) -> None:
        """Press and tell the guest of every change until no way of it is under way."""
        changes: queue.SimpleQueue[RedPress] = queue.SimpleQueue()
        stop_hearing = self._button.add_listener(changes.put)
        try:
            number = self._button(reason).number
            while True:
                press = changes.get(timeout=PATIENCE)
                if press.number < number:
                    continue  # a later one takes the place of this: then its word counts
                guest.sendall(json.dumps(asdict(press)).encode() + b"\n")
                if all(way.stage != "acting" for way in press.ways):
                    return
        except queue.Empty:
            logger.info("red button: nothing new for %g s; whoever pressed it elsewhere is told no more", PATIENCE)
        finally:
            stop_hearing()


# -- for whoever knocks ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenDoor:
    """The red button of a core that another process runs: who that is, and the way there."""

    core_name: str
    instance: Instance
    port: int
    key: str

    def press(self, reason: str, hear: Callable[[RedPress], None], patience: float = PATIENCE) -> RedPress:
        """Press, call ``hear`` at every change, and return how it stands once it is done or has failed.

        Raises ``NotReady`` when nobody answers, or for ``patience`` seconds nothing more is heard.
        """
        press: RedPress | None = None
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=_ANSWER) as line:
                line.settimeout(patience)
                line.sendall(json.dumps({"key": self.key, "reason": reason}).encode() + b"\n")
                with line.makefile("rb") as reading:
                    for words in reading:
                        press = _press_of(json.loads(words))
                        hear(press)
                        if press.stage == "done":
                            return press
        except ConnectionRefusedError:
            raise NotReady(
                f"core {self.core_name!r} does not run any more: {self.instance} has ended. A guard cancels what a "
                "process leaves; look with core.guard_log, or at the exchange"
            ) from None
        except (OSError, ValueError) as error:
            raise self._unheard(press, f"{error}") from error
        if press is None or press.stage == "acting":
            raise self._unheard(press, "it hung up")
        return press

    def _unheard(self, press: RedPress | None, why: str) -> NotReady:
        stands = f"it said last: {press}" if press is not None else "it has said nothing: a long C call may hold it"
        return NotReady(f"{self.instance}, which runs core {self.core_name!r}, does not answer ({why}); {stands}")


def open_doors() -> list[OpenDoor]:
    """Return the doors of cores that processes of this user run, by the core's name."""
    folder = core_file("", _SUFFIX).parent
    doors = [_read(path) for path in sorted(folder.glob(f"*.{_SUFFIX}"))]
    alive = [door for door in doors if door is not None and door.instance.alive]
    return sorted(alive, key=lambda door: door.core_name)


def _read(path: Path) -> OpenDoor | None:
    try:
        words = json.loads(path.read_bytes())
        return OpenDoor(words["core"], Instance(**words["instance"]), int(words["port"]), str(words["key"]))
    except (OSError, ValueError, LookupError, TypeError) as error:
        if not isinstance(error, FileNotFoundError):
            logger.info("%s does not read: %s", path, error)
        return None


def _press_of(words: dict[str, Any]) -> RedPress:
    ways = tuple(RedWay(**way) for way in words["ways"])
    return RedPress(words["number"], words["reason"], words["time"], ways, words["took"])
