"""`kit red`: the red button of cores that other processes run, when their page is gone or hangs."""

from __future__ import annotations

import argparse
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit.commands.arguments import positive
from kit.errors import NotReady

if TYPE_CHECKING:
    from kit.trading.red_button import RedPress
    from kit.trading.red_door import OpenDoor


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `kit red`."""
    parser.add_argument("name", nargs="*", help="the core's name, such as main (default: every core that runs)")
    parser.add_argument("--patience", type=positive, default=15.0, help="seconds to wait for news of a core (15)")
    parser.add_argument("--list", action="store_true", help="press nothing, name the cores that run")


def run(args: argparse.Namespace) -> int:
    """Press; exit code 0 when every exchange was seen to hold no order of these cores any more, else 1."""
    from kit.trading.red_door import open_doors

    doors = _chosen(open_doors(), args.name)
    if args.list:
        for door in doors:
            _say(door, f"in {door.instance}")
        return 0
    verdicts = [(door, _Verdict()) for door in doors]
    presses = [
        threading.Thread(target=_press, args=(door, args.patience, verdict), daemon=True) for door, verdict in verdicts
    ]
    for press in presses:  # at once: one that hangs must not keep the others waiting
        press.start()
    for press in presses:
        press.join()
    return 0 if all(verdict.done for _, verdict in verdicts) else 1


def _chosen(doors: list[OpenDoor], names: list[str]) -> list[OpenDoor]:
    """Return the cores that were asked for; raises ``NotReady`` where one, or any, does not run."""
    known = {door.core_name: door for door in doors}
    missing = [name for name in names if name not in known]
    if not known or missing:
        asked = f"core {', '.join(repr(name) for name in missing)}" if missing else "core that trades"
        running = ", ".join(known) or "none"
        raise NotReady(
            f"no {asked} of yours runs on this machine (running: {running}). Cores are found by the folder KIT_STATE: "
            "set it as it was where they run"
        )
    return [known[name] for name in dict.fromkeys(names)] if names else doors


@dataclass
class _Verdict:
    done: bool = False


def _press(door: OpenDoor, patience: float, verdict: _Verdict) -> None:
    said: set[str] = set()

    def hear(press: RedPress) -> None:
        for way in press.ways:
            if way.text not in said:
                said.add(way.text)
                _say(door, way.text)

    try:
        verdict.done = door.press("the red button in a terminal", hear, patience).stage == "done"
    except NotReady as error:
        print(f"kit red: {error}", file=sys.stderr)  # noqa: T201  (the command's output)


def _say(door: OpenDoor, text: str) -> None:
    print(f"{door.core_name}: {text}", flush=True)  # noqa: T201  (the command's output)
