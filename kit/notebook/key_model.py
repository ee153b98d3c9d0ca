"""The keys of this machine's user as a panel: stored, listed without themselves, tried, removed.

What is typed travels once, as a message of its own that belongs to no widget's state, and goes into the keyring or the
encrypted file. Nothing of it is kept here, sent back, shown or logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from kit.config.key_names import KeyName, checked
from kit.config.store import CredentialStore, store
from kit.core.affinity import LoopAffinity
from kit.errors import InvalidInput, KitError, NotSupported
from kit.notebook.formats import escape, html_table
from kit.notebook.panel import Frame

_SECRET = ("key", "secret", "password", "passphrase")


class KeyModel:
    """What is stored where, and the ways to change it.

    A keyring may take its time, or ask the user something: it is read when the panel is made and with each command, on
    the thread that runs those, never by the timer that paints.
    """

    name = "API keys"

    def __init__(self) -> None:
        self._store: CredentialStore = store()
        self._reports: dict[str, str] = {}
        self._now: dict[str, Any] = self._read()
        self._painted: dict[str, Any] | None = None

    @property
    def affinity(self) -> LoopAffinity:
        """Return no hop: keys belong to no core."""
        return LoopAffinity(None)

    @property
    def ended(self) -> bool:
        """Tell that it never ends."""
        return False

    # -- what is shown -------------------------------------------------------------------------------------------------

    def frame(self, full: bool) -> Frame | None:
        """Return all there is, ``None`` when it is the same still."""
        now = self._now
        if not full and now is self._painted:
            return None
        self._painted = now
        return Frame(now)

    def _read(self) -> dict[str, Any]:
        stored, problems = self._store.survey()
        keyring = self._store.keyring
        file = self._store.file
        return {
            "keys": [
                [key.exchange, key.account, key.where, key.used, self._reports.get(f"{key.exchange}/{key.account}", "")]
                for key in stored
            ],
            "problem": "; ".join(problems),
            "keyring": "" if keyring.problem else keyring.backend,
            "no_keyring": keyring.problem,
            "file": str(file.path),
            "state": "new" if not file.exists else "locked" if self._locked() else "open",
        }

    def _locked(self) -> bool:
        try:
            return self._store.file.locked
        except KitError:
            return False  # it cannot be read: the problem is told already

    # -- commands ------------------------------------------------------------------------------------------------------

    def command(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Do one of five things, and forget what was typed whatever comes of it.

        ``{"do": "add", "exchange", "account", "key", "secret", "password", "store", "passphrase"}`` stores a key,
        ``{"do": "unlock", "passphrase"}`` opens the encrypted file for this kernel, ``{"do": "check", "exchange",
        "account"}`` asks the exchange what the key may do, ``{"do": "remove", "exchange", "account"}`` forgets it, and
        ``{"do": "look"}`` finds out what was changed elsewhere.
        Raises the kit's errors, none of which tells anything typed.
        """
        typed = {name: str(message.get(name) or "") for name in _SECRET}
        if isinstance(message, MutableMapping):
            for name in _SECRET:
                message.pop(name, None)
        actions: dict[str, Callable[[Mapping[str, Any], Mapping[str, str]], str]] = {
            "add": self._add,
            "unlock": self._unlock,
            "check": self._check,
            "remove": self._remove,
            "look": lambda _message, _typed: "",
        }
        action = actions.get(str(message.get("do")))
        if action is None:
            raise NotSupported(f"keys take no command {message.get('do')!r}")
        try:
            return {"text": action(message, typed)}
        finally:
            now = self._read()
            if now != self._now:
                self._now = now

    def _add(self, message: Mapping[str, Any], typed: Mapping[str, str]) -> str:
        from kit.connectors.key_check import needs_password

        name = _name(message)
        if needs_password(name.exchange) and not typed["password"]:
            raise InvalidInput(f"{name.exchange}'s keys have a password (passphrase) of their own; enter it, too")
        credentials = checked(typed["key"], typed["secret"], typed["password"])
        where: Any = message.get("store") or self._store.usual_place
        if where == "file" and typed["passphrase"]:
            self._store.file.unlock(typed["passphrase"])
        self._store.add(name, credentials, where)
        self._reports.pop(str(name), None)
        first = next(key.where for key in self._store.stored() if KeyName(key.exchange, key.account) == name)
        return f"{name} is stored in the {where}" + ("" if first == where else f"; the one in the {first} comes first")

    def _unlock(self, _message: Mapping[str, Any], typed: Mapping[str, str]) -> str:
        self._store.file.unlock(typed["passphrase"])
        return "the encrypted file is open for this kernel"

    def _remove(self, message: Mapping[str, Any], _typed: Mapping[str, str]) -> str:
        name = _name(message)
        places = self._store.remove(name)
        self._reports.pop(str(name), None)
        return f"{name} is removed from the {' and the '.join(places)}" if places else f"no key of {name} is stored"

    def _check(self, message: Mapping[str, Any], _typed: Mapping[str, str]) -> str:
        from kit.connectors.key_check import check_key

        name = _name(message)
        credentials = self._store.find(name)
        if credentials is None:
            raise InvalidInput(f"no key of {name} is stored any more")
        report = asyncio.run(check_key(name.exchange, credentials))
        words = {True: "yes", False: "no", None: "not known"}
        text = f"may read: {words[report.can_read]}, may trade: {words[report.can_trade]}"
        self._reports[str(name)] = f"{text}; {report.problem}" if report.problem else text
        return f"{name}: {text}"

    # -- without a page ------------------------------------------------------------------------------------------------

    def text(self) -> str:
        """Return one line a key, without the key."""
        stored, problems = self._store.survey()
        lines = [f"{key.exchange}/{key.account}: {key.where}{'' if key.used else ', not used'}" for key in stored]
        return "\n".join([self.name, *(lines or ["none is stored"] * (not problems)), *problems])

    def html(self) -> str:
        """Return the list as a table, without the keys."""
        stored = self._store.stored()
        rows = [[escape(key.exchange), escape(key.account), escape(key.where)] for key in stored]
        return html_table(["exchange", "account", "where"], rows, caption=self.name, left=3)


def _name(message: Mapping[str, Any]) -> KeyName:
    account = str(message.get("account") or "").strip()
    exchange = str(message.get("exchange") or "").strip()
    return KeyName(exchange, account) if account else KeyName(exchange)
