"""Refusals of a whole set of parameters, said the way the form shows its values: in percent, ``None`` as off."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from kit.notebook.param_text import ParamText

_NUMBER: Final = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"


def in_form_words(refusal: str, texts: Mapping[str, ParamText]) -> str:
    """Return a refusal with each number that follows a parameter's name, ``name 0.01`` or ``name = 0.01``, as shown."""
    for name, text in texts.items():
        refusal = re.sub(
            rf"(\b{name} (?:= )?)({_NUMBER})(?![\w%]| %|\.\d)",
            lambda found, text=text: found[1] + text.quantity(found[2]),  # type: ignore[misc]
            refusal,
        )
        refusal = re.sub(
            rf"(\b{name} .*allowed: ){re.escape(text.field.allowed)}",
            lambda found, text=text: found[1] + text.allowed,  # type: ignore[misc]
            refusal,
        )
    return re.sub(r"\bNone\b", "off", refusal)
