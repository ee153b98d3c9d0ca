"""The environment variables that hold keys, which no child process of the kit's is handed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_SECRET: Final = re.compile(r"KIT_(?:[A-Z0-9_]+_(?:KEY|SECRET|PASSWORD)|PASSPHRASE)")


def without_keys(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for a child process: all but ``KIT_…_KEY``, ``_SECRET``, ``_PASSWORD``, ``KIT_PASSPHRASE``.

    The system shows a process's environment to every process of the same user, and what it starts inherits it.
    """
    return {name: value for name, value in environment.items() if not _SECRET.fullmatch(name)}
