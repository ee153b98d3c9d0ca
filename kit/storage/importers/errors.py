"""What is wrong with a file that was to be read."""

from __future__ import annotations

from kit.errors import InvalidInput


class BadFile(InvalidInput):
    """A file is damaged or not of the form it was taken for; the message names the file and, if known, the line."""
