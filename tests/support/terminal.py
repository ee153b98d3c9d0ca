"""The `kit` command in a process of its own, as in a terminal."""

from __future__ import annotations

import asyncio
import subprocess
import sys


async def kit_command(*arguments: str) -> str:
    """Return what `kit` prints; it must end well and complain of nothing."""
    command = [sys.executable, "-m", "kit", *arguments]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=180, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout
