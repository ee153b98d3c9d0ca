"""Play the reference's scenarios against ``PureMarketMaking``: ``python -m tests.oracle.pmm FILE… [--out FILE]``.

Writes one line ``{"name", "trace"}`` for each scenario, in the reference's form. With ``--check`` it compares with the
traces in the files instead: prints the first difference of every scenario that differs, how many differ by each rule of
``tests.oracle.rules``, and last one line ``equal N of M``. The exit code is 1 where a difference has no rule.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any

from tests.oracle.rules import RULES, Rule, excuse
from tests.oracle.scenario import as_text, first_difference, play


def cases(files: Sequence[Path]) -> Iterator[dict[str, Any]]:
    for file in files:
        with file.open(encoding="utf-8") as lines:
            yield from (json.loads(line) for line in lines if line.strip())


def write(files: Sequence[Path], out: IO[str]) -> None:
    for case in cases(files):
        name = case.get("name", case["scenario"].get("name"))
        trace = as_text(play(case["scenario"]))
        out.write(json.dumps({"name": name, "trace": trace}) + "\n")


def compare(case: dict[str, Any]) -> tuple[int, str] | None:
    try:
        return first_difference(play(case["scenario"]), case["trace"])
    except Exception as error:  # one scenario that cannot be played is one that differs
        return 0, f"cannot be played: {type(error).__name__}: {error}"


def check(files: Sequence[Path], out: IO[str]) -> bool:
    """Compare; return whether every difference has a rule."""
    total = equal = 0
    excused: Counter[Rule] = Counter()
    unexplained = 0
    for case in cases(files):
        total += 1
        difference = compare(case)
        if difference is None:
            equal += 1
            continue
        rule = excuse(case["scenario"], case["trace"], difference[0])
        out.write(f"{case['name']}: {difference[1]} [{'NO RULE' if rule is None else rule.name}]\n")
        if rule is None:
            unexplained += 1
        else:
            excused[rule] += 1
    for rule in RULES:
        out.write(f"by rule: {excused[rule]} where {rule.name}: {rule.reason}\n")
    out.write(f"without a rule: {unexplained}\n")
    out.write(f"equal {equal} of {total}\n")
    return unexplained == 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.oracle.pmm", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="scenario files, one JSON object a line")
    parser.add_argument("--out", type=Path, help="write there instead of to the terminal")
    parser.add_argument("--check", action="store_true", help="compare with the traces in the files")
    given = parser.parse_args(arguments)
    with given.out.open("w", encoding="utf-8") if given.out else nullcontext(sys.stdout) as out, _quiet():
        if given.check:
            return 0 if check(given.files, out) else 1
        write(given.files, out)
    return 0


@contextmanager
def _quiet() -> Iterator[None]:
    """That nothing can be quoted is part of many scenarios; their warnings are not for this command's reader."""
    logger = logging.getLogger("kit")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


if __name__ == "__main__":
    sys.exit(main())
