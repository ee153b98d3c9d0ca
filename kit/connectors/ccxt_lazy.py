"""Make ccxt's packages load on demand, so that one exchange does not import a hundred.

``import ccxt.pro`` executes every exchange class ccxt has: 409 modules, 1-2 s and 112 MB. Here stand-ins for the three
packages (``ccxt``, ``ccxt.async_support``, ``ccxt.pro``) are put into ``sys.modules`` before ccxt's first import. Their
submodules load from disk as usual; a name such as ``ccxt.binance`` resolves to the class of the module of that name; a
name that the stand-in cannot place runs the package's real ``__init__`` in it, after which it *is* the real package.
Whoever imports ccxt later in the same process therefore sees what the documentation of ccxt promises, only sooner.
Any thread may do so. No lock is held while a module of ccxt is imported: Python's own lock of that module and ours
could wait for each other.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
import threading
from types import ModuleType
from typing import Any

PACKAGES = ("ccxt", "ccxt.async_support", "ccxt.pro")

# Where the names live that ccxt's own modules take from the packages while they load.
_HOMES = {
    "ccxt": ("ccxt.base.errors", "ccxt.base.exchange", "ccxt.base.decimal_to_precision", "ccxt.base.precise"),
    "ccxt.async_support": ("ccxt.async_support.base.exchange", "ccxt.base.errors", "ccxt.base.decimal_to_precision"),
    "ccxt.pro": ("ccxt.async_support.base.exchange", "ccxt.base.errors"),
}


# Names that only the package's own __init__ defines; other dunder names are the import system probing for options.
_NAMES_OF_INIT = ("__all__", "__version__")


_installing = threading.Lock()
_RUN_TIMEOUT = 120.0
"""Seconds for another thread to run a package's ``__init__``; it takes some."""


class _LazyPackage(ModuleType):
    """A package whose ``__init__`` has not run, and runs only when a name cannot be found without it."""

    def __getattr__(self, name: str) -> Any:
        # Python's own names, and those that IPython asks of all that it shows.
        special = name.startswith("_") and name.endswith("_") and name not in _NAMES_OF_INIT
        if special or self.__dict__["_run"].is_set():
            return self._there(name)
        found = None if name in _NAMES_OF_INIT else self._find(name)
        if found is None:
            self._execute()
            return self._there(name)
        ModuleType.__setattr__(self, name, found)
        return found

    def _there(self, name: str) -> Any:
        if name in self.__dict__:  # by another thread, meanwhile
            return self.__dict__[name]
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        # The import system binds a loaded submodule to its name in the package; ccxt's packages bind the exchange
        # class of that name instead, and its modules rely on it (``class binance(ccxt.async_support.binance)``).
        if isinstance(value, ModuleType) and value.__name__ == f"{self.__name__}.{name}":
            value = value.__dict__.get(name, value)
        ModuleType.__setattr__(self, name, value)

    def __dir__(self) -> list[str]:
        return sorted({*self.__dict__, *_module_names(self)})

    def _find(self, name: str) -> Any:
        """Return what the real package holds under ``name``, without executing it; ``None`` when not placeable."""
        if name == "exchanges":
            return _module_names(self)
        if name in _module_names(self, packages=True):
            importlib.import_module(f"{self.__name__}.{name}")
            return self.__dict__.get(name)
        for home in _HOMES[self.__name__]:
            module = importlib.import_module(home)
            if name in module.__dict__:
                return module.__dict__[name]
        return None

    def _execute(self) -> None:
        """Run the package's own ``__init__`` in this module, once; where another thread does, wait until it has."""
        spec = self.__spec__
        if spec is None or spec.loader is None:  # pragma: no cover - install() never makes such a module
            raise ImportError(f"{self.__name__} has no loader")
        with _installing:
            runner = self.__dict__.get("_runner")
            if runner is None:
                ModuleType.__setattr__(self, "_runner", threading.get_ident())
        if runner is not None:
            if runner != threading.get_ident():  # else a name that it looks for before it has it
                self.__dict__["_run"].wait(_RUN_TIMEOUT)
            return
        try:
            spec.loader.exec_module(self)
        finally:
            self.__dict__["_run"].set()


def _module_names(package: ModuleType, *, packages: bool = False) -> list[str]:
    """Return the names of a package's modules, which in ccxt's packages are the ids of its exchanges."""
    return sorted(info.name for info in pkgutil.iter_modules(package.__path__) if packages or not info.ispkg)


def install() -> bool:
    """Put the stand-ins in place unless ccxt is imported already; return whether they are in place now.

    Must run before the first import of anything from ccxt to have an effect; safe to call again at any time.
    """
    with _installing:
        root = sys.modules.get("ccxt")
        if root is None:
            _install()
            return True
    return isinstance(root, _LazyPackage)


def _install() -> None:
    parent: ModuleType | None = None
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is None:
            raise ImportError(f"{name} is not installed; install the distribution `ccxt` in the version kit asks for")
        module = _LazyPackage(name)
        ModuleType.__setattr__(module, "_run", threading.Event())
        module.__spec__ = spec
        module.__loader__ = spec.loader
        module.__package__ = name
        module.__file__ = spec.origin
        module.__path__ = list(spec.submodule_search_locations or [])
        sys.modules[name] = module
        if parent is not None:
            setattr(parent, name.rpartition(".")[2], module)
        parent = sys.modules["ccxt"]


def exchange_ids() -> list[str]:
    """Return the ids of every exchange that ccxt can stream from, sorted; imports no exchange."""
    install()  # looking for ccxt.pro imports ccxt
    spec = importlib.util.find_spec("ccxt.pro")
    if spec is None:
        raise ImportError("ccxt is not installed; install the distribution `ccxt` in the version kit asks for")
    locations = list(spec.submodule_search_locations or [])
    return sorted(info.name for info in pkgutil.iter_modules(locations) if not info.ispkg)
