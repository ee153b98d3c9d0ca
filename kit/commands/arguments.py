"""Kinds of values that several commands take."""

from __future__ import annotations

import argparse
import math


def positive(text: str) -> float:
    """Return a finite number above 0, for argparse's ``type=``; raises what argparse shows."""
    number = float(text)
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"{text} must be a finite number above 0")
    return number
