"""Whether the event loop was patched to be entered within itself in a way that loses messages of the kernel."""

from __future__ import annotations

import asyncio
import sys

SHARED_CONTEXT = (7,)
"""The first version of ipykernel whose message handlers share one context, which ``nest_asyncio`` cannot bear."""


def kernel_version() -> tuple[int, ...]:
    """Return the version of the ipykernel that runs in this process, empty where none does."""
    kernel = sys.modules.get("ipykernel")
    parts = str(getattr(kernel, "__version__", "")).split(".")[:2]
    return tuple(int(part) for part in parts if part.isdigit())


def patched() -> bool:
    """Tell whether ``nest_asyncio`` or ``nest_asyncio2`` patched asyncio; the first one to do so stays."""
    return hasattr(asyncio, "_nest_patched")


def dangerous() -> str:
    """Return why the patch that is in place is dangerous here; empty where it is not.

    Measured with nest_asyncio 1.6 on ipykernel 7.2 to 7.4: a message that arrives while the loop is entered a second
    time, such as a click on the red button, is gone. nest_asyncio2, which newer ipykernels need themselves, keeps it.
    """
    if not patched() or hasattr(asyncio, "_nest_asyncio2") or kernel_version() < SHARED_CONTEXT:
        return ""
    version = ".".join(map(str, kernel_version()))
    return (
        f"nest_asyncio patched the event loop, and with ipykernel {version} it loses messages, such as clicks: restart "
        "the kernel and do not import it; use top-level await, or kit.run()"
    )
