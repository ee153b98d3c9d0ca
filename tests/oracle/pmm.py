"""Play the reference's scenarios against ``PureMarketMaking``: ``python -m tests.oracle.pmm FILE… [--out FILE]``.

Writes one line ``{"name", "trace"}`` for each scenario, in the reference's form. With ``--check`` it compares with the
traces in the files: prints the first difference of every scenario that differs, how many differ by each rule of
``tests.oracle.rules``, and last one line ``equal N of M``; our traces are then written only where ``--out`` says. The
exit code is 1 where a difference has no rule, or where a scenario cannot be played; the others are written or compared
all the same.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.oracle.rules import RULES, Rule, Verdict, excuse
from tests.oracle.scenario import as_text, first_difference, play


@dataclass(frozen=True)
class Case:
    """One line: ``trace`` is the reference's, where the line has one; ``problem`` is why it cannot be used at all."""

    name: str
    scenario: Mapping[str, Any]
    trace: list[dict[str, Any]] | None
    problem: str | None = None


def cases(files: Sequence[Path]) -> Iterator[Case]:
    for file in files:
        with file.open(encoding="utf-8-sig", errors="replace") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _read(line, f"{file.name} line {number}")


def _read(line: str, where: str) -> Case:
    try:
        read = json.loads(line)
    except ValueError as error:
        return Case(where, {}, None, f"is no JSON: {error}")
    scenario = read.get("scenario") if isinstance(read, dict) else None
    if not isinstance(scenario, dict) or not {"config", "steps"} <= scenario.keys():
        return Case(where, {}, None, 'has no "scenario" with "config" and "steps"')
    name = read.get("name", scenario.get("name"))
    trace = read.get("trace")
    return Case(where if name is None else f"{name}", scenario, trace if isinstance(trace, list) else None)


def attempt(case: Case) -> tuple[list[dict[str, Any]] | None, str]:
    """Play; return our trace, or none and why not."""
    if case.problem is not None:
        return None, case.problem
    try:
        return play(case.scenario), ""
    except Exception as error:  # one scenario that cannot be played must not hide the others
        return None, f"cannot be played: {type(error).__name__}: {error}"


def write(files: Sequence[Path], out: IO[str]) -> bool:
    """Write our traces; return whether every scenario could be played. Those that cannot are named on stderr."""
    complete = True
    for case in cases(files):
        trace, problem = attempt(case)
        if trace is None:
            complete = False
            sys.stderr.write(f"{case.name}: {problem}\n")
        else:
            out.write(json.dumps({"name": case.name, "trace": as_text(trace)}) + "\n")
    return complete


def compare(case: Case) -> tuple[str, Verdict] | None:
    """Return the first difference and what is to be said of it, ``None`` where there is none."""
    ours, problem = attempt(case)
    if ours is None:
        return problem, Verdict(None)
    if case.trace is None:
        return "no trace to compare with; write ours with --out FILE instead of --check", Verdict(None)
    try:
        difference = first_difference(ours, case.trace)
        verdict = excuse(case.scenario, ours, case.trace)
    except Exception as error:  # nor may a trace of another form
        return f"its trace cannot be read: {type(error).__name__}: {error}", Verdict(None)
    return None if difference is None or verdict is None else (difference[1], verdict)


def check(files: Sequence[Path], out: IO[str]) -> bool:
    """Compare; return whether every difference has a rule."""
    total = equal = 0
    excused: Counter[Rule] = Counter()
    unexplained = 0
    for case in cases(files):
        total += 1
        found = compare(case)
        if found is None:
            equal += 1
            continue
        difference, verdict = found
        out.write(f"{case.name}: {difference} [{verdict}]\n")
        if verdict.rule is None:
            unexplained += 1
        else:
            excused[verdict.rule] += 1
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
    try:
        for file in given.files:
            file.open().close()
            if given.out is not None and given.out.exists() and given.out.samefile(file):
                parser.error(f"--out {given.out} would overwrite the scenarios")
        output = None if given.out is None else given.out.open("w", encoding="utf-8")
    except OSError as error:
        parser.error(f"{error.filename}: {error.strerror}")
    with output or nullcontext(sys.stdout) as out, _quiet():
        explained = check(given.files, sys.stdout) if given.check else True
        written = write(given.files, out) if output is not None or not given.check else True
    return 0 if explained and written else 1


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
