"""The parameters of a strategy as they change while it runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kit.strategy.params import ParamField, Params, raise_unknown, show, unknown_name
from kit.types.drawn import Drawn


class LiveParams(Drawn):
    """``strategy.params``: reads what is applied, queues what is changed.

    A view on two immutable ``Params`` values, the applied one (``model``) and, when something is queued, the one that
    the next tick applies as a whole:

    * ``params.half_spread`` reads the applied value;
    * ``params.update(half_spread="0.002", levels=3)`` validates the resulting set as a whole, on top of what is queued
      already, and queues it; ``InvalidInput`` leaves everything as it was. ``params.half_spread = "0.002"`` is an
      update of one;
    * ``params.pending`` shows what is queued: value by name;
    * ``params.save("calm")`` keeps what holds from the next tick on as a preset; ``params.load("calm")`` is an update
      to one;
    * ``params.fields`` describes every parameter (bounds, unit, documentation), ``params.model`` is the applied value.

    While the strategy does not run there is no next tick to wait for: an update applies at once. Safe to use from
    any thread.
    """

    __slots__ = ("_check", "_lock", "_model", "_queued", "_queues")

    _check: Callable[[Params], None] | None
    _lock: threading.Lock
    _model: Params
    _queued: Params | None
    _queues: bool

    def __init__(self, model: Params) -> None:
        object.__setattr__(self, "_lock", threading.Lock())
        self._set(_model=model, _queued=None, _queues=False, _check=None)

    def _set(self, **slots: Any) -> None:
        # Plain assignment is the public way to change a parameter, so the view's own slots go round it.
        for name, value in slots.items():
            object.__setattr__(self, name, value)

    @property
    def model(self) -> Params:
        """Return the applied values: an immutable ``Params``."""
        return self._model

    @property
    def fields(self) -> dict[str, ParamField]:
        """Return the description of every parameter by name."""
        return {field.name: field for field in type(self._model).describe()}

    @property
    def pending(self) -> dict[str, Any]:
        """Return what the next tick will change: new value by name; empty when nothing is queued."""
        model, queued = self._model, self._queued
        if queued is None:
            return {}
        before = model.values()
        return {name: value for name, value in queued.values().items() if value != before[name]}

    def update(self, changes: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Change several parameters together: at the next tick, or at once while the strategy does not run.

        Raises ``InvalidInput`` that names every wrong value and the allowed range; then nothing is changed.
        """
        with self._lock:
            target = (self._queued or self._model).evolve(**{**(changes or {}), **more})
            if self._check is not None:
                self._check(target)
            if self._queues:
                self._set(_queued=None if target == self._model else target)
            else:
                self._set(_model=target)

    def save(self, name_or_path: str | Path) -> Path:
        """Keep the parameters, with what is queued, as a preset: a TOML file by name, or at a path; return the file.

        A path is a ``Path`` or a text that ends in ``.toml``. A preset of that name is replaced, its comments stay.
        Raises ``InvalidInput``.
        """
        from kit.strategy.presets import save_preset

        return save_preset(latest(self), name_or_path)

    def load(self, name_or_path: str | Path) -> dict[str, Any]:
        """Change to a preset, as ``update`` does: validated as one set, applied on the next tick.

        Parameters that the preset does not name stay as they are. Return what changes: new value by name. Raises
        ``InvalidInput`` that names what is wrong, also parameters that there are not any more; then nothing is changed.
        """
        from kit.strategy.presets import load_preset

        before = latest(self)
        self.update(load_preset(type(before), name_or_path))
        values = before.values()
        return {name: value for name, value in latest(self).values().items() if value != values[name]}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # also what IPython and copy probe for, possibly before __init__ ran
            raise AttributeError(name)
        model = self._model
        if name in type(model).model_fields:
            return getattr(model, name)
        raise AttributeError(unknown_name(name, type(model)))

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in type(self._model).model_fields:
            raise_unknown(name, type(self._model))
        self.update({name: value})

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *type(self._model).model_fields]

    def __repr__(self) -> str:
        queued = ", ".join(f"{name}={show(value)}" for name, value in self.pending.items())
        return f"{self._model!r}" + (f" queued: {queued}" if queued else "")


def check_with(params: LiveParams, check: Callable[[Params], None]) -> None:
    """Ask ``check`` too before a change is taken: it raises ``InvalidInput`` for what does not fit the strategy.

    What is applied now is checked at once.
    """
    check(params.model)
    with params._lock:  # noqa: SLF001 - the strategy's side of the view, kept off the names that users see
        params._set(_check=check)  # noqa: SLF001


def latest(params: LiveParams) -> Params:
    """Return the values that hold from the next tick on: what is queued, else what is applied."""
    return params._queued or params._model  # noqa: SLF001


def start_queueing(params: LiveParams) -> None:
    """Make updates wait for the next tick; the strategy's start calls this."""
    with params._lock:  # noqa: SLF001
        params._set(_queues=True)  # noqa: SLF001


def stop_queueing(params: LiveParams) -> None:
    """Apply what is queued, and from now on every update at once; the strategy's stop calls this."""
    with params._lock:  # noqa: SLF001
        params._set(_model=params._queued or params._model, _queued=None, _queues=False)  # noqa: SLF001


def apply_pending(params: LiveParams) -> tuple[Params, Params] | None:
    """Apply what is queued, as a whole; return the values before and after, ``None`` when nothing was queued."""
    # Without the lock first: on almost every tick nothing is queued, and that must cost nothing.
    return None if params._queued is None else _swap(params)  # noqa: SLF001


def _swap(params: LiveParams) -> tuple[Params, Params] | None:
    with params._lock:  # noqa: SLF001
        before, after = params._model, params._queued  # noqa: SLF001
        if after is None:
            return None
        params._set(_model=after, _queued=None)  # noqa: SLF001
    return before, after
