"""The form of a strategy's parameters, made from their description."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from kit.core.affinity import LoopAffinity
from kit.core.network_iterator import NetworkIterator, NetworkStatus
from kit.errors import InvalidInput, KitError, NotSupported
from kit.notebook.form_words import in_form_words
from kit.notebook.formats import escape, html_table, split_pair
from kit.notebook.panel import Frame
from kit.notebook.param_text import ParamText
from kit.notebook.preset_list import PresetList
from kit.strategy.live_params import latest
from kit.strategy.params import raise_unknown

if TYPE_CHECKING:
    from kit.strategy.strategy_base import StrategyBase

FIRST: Final = 6
"""How many parameters a form shows unfolded at least."""


class ControlsModel:
    """The parameters of one strategy, or ``only`` those named, as texts; ``apply`` changes them as one checked set.

    Raises ``InvalidInput`` for a name that is no parameter.
    """

    def __init__(self, strategy: StrategyBase, only: Iterable[str] | None = None) -> None:
        fields = strategy.params.fields
        names = list(fields if only is None else only)
        for name in names:
            if name not in fields:
                raise_unknown(name, type(strategy.params.model))
        self.strategy = strategy
        self.name = f"controls of {strategy.name}"
        self._all_texts = {name: ParamText(field, _units(strategy)) for name, field in fields.items()}
        self._texts = {name: self._all_texts[name] for name in names}
        self._folded = only is None
        self._presets = PresetList(strategy.params, self._texts)
        self._painted: tuple[object, ...] = ()

    @property
    def affinity(self) -> LoopAffinity:
        """Return the hop to the core's loop."""
        for market in self.strategy.markets:
            affinity = getattr(market, "affinity", None)
            if isinstance(affinity, LoopAffinity):
                return affinity
        return LoopAffinity(None)

    @property
    def ended(self) -> bool:
        """Tell whether every market of the strategy was closed."""
        markets = self.strategy.markets
        return bool(markets) and all(
            isinstance(market, NetworkIterator) and market.network_status is NetworkStatus.STOPPED for market in markets
        )

    def frame(self, full: bool) -> Frame | None:
        """Return the form with its values, or the values alone where one changed."""
        params = self.strategy.params
        # All immutable: while they are the same objects nothing changed.
        shown = (params.model, latest(params), self._presets.names() if self._folded else None)
        if not full and len(shown) == len(self._painted) and all(map(operator.is_, shown, self._painted)):
            return None
        self._painted = shown
        now = self._values()
        return Frame({**now, "fields": self._fields()} if full else now, full=full)

    def _values(self) -> dict[str, Any]:
        model, pending = self.strategy.params.model, self.strategy.params.pending
        return {
            "title": self.strategy.name,
            "values": {name: text.write(getattr(model, name)) for name, text in self._texts.items()},
            "pending": {name: self._texts[name].write(pending[name]) for name in self._texts if name in pending},
            "sliders": {name: text.slider(getattr(model, name)) for name, text in self._texts.items()},
            # A form of some parameters could apply only a part of a preset, so it has none.
            "presets": list(self._presets.names()) if self._folded else None,
        }

    def _fields(self) -> list[dict[str, Any]]:
        main = self._main()
        return [
            {
                "name": name,
                "label": self._label(name),
                "input": text.input,
                "unit": text.unit,
                "doc": text.field.doc,
                "allowed": text.allowed,
                "optional": text.field.optional,
                "choices": text.choices,
                "default": None if text.field.required else text.write(text.field.default),
                "main": name in main,
            }
            for name, text in self._texts.items()
        ]

    def _label(self, name: str) -> str:
        """Return the name as words; the unit tells percent, unless only that tells two parameters apart."""
        short = name.removesuffix("_pct")
        return (name if short in self._texts else short).replace("_", " ")

    def _main(self) -> set[str]:
        """Return the parameters to show unfolded: those that must be given, or differ from their default."""
        if not self._folded:
            return set(self._texts)
        model = self.strategy.params.model
        main = {
            name
            for name, text in self._texts.items()
            if text.field.required or getattr(model, name) != text.field.default
        }
        more = (name for name in self._texts if name not in main)
        while len(main) < FIRST and (name := next(more, None)) is not None:
            main.add(name)
        return main

    def command(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Do one of three things.

        ``{"do": "apply", "values": {name: text}}`` applies a set of texts; ``{"do": "load", "name"}`` answers with the
        ``values`` of a preset, which then wait in the form; ``{"do": "save", "name", "values", "replace"}`` keeps the
        form's values as a preset. The answer is ``{"ok": True, …}``, or ``{"ok": False, "errors": {name: text},
        "text": text}`` and nothing applied or saved.
        """
        do = message.get("do")
        if do == "load":
            return self._presets.load(str(message.get("name")))
        if do not in ("apply", "save"):
            raise NotSupported(f"controls take no command {do!r}")
        values: Any = message.get("values")
        if not isinstance(values, Mapping):
            raise InvalidInput("values are missing")
        what = "applied" if do == "apply" else "saved"
        changes, errors = self._read(values)
        if errors:
            return {"ok": False, "errors": errors, "text": f"nothing was {what}"}
        try:
            if do == "save":
                return self._presets.save(str(message.get("name")), changes, replace=message.get("replace") is True)
            self.strategy.params.update(changes)
        except InvalidInput as error:
            refusal = in_form_words(str(error), self._all_texts)
            return {"ok": False, "errors": self._sort(refusal), "text": f"nothing was {what}: {refusal}"}
        waits = bool(self.strategy.params.pending)
        return {"text": "applies on the next tick" if waits else "applied"}

    def _read(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        changes, errors = {}, {}
        for name, entered in values.items():
            text = self._texts.get(name)
            if text is None:
                errors[name] = "is no parameter of this form"
                continue
            try:
                changes[name] = text.read(str(entered))
            except InvalidInput as error:
                errors[name] = str(error)
        return changes, errors

    def _sort(self, message: str) -> dict[str, str]:
        """Return a refusal's lines by the parameters that they name, beside which they are shown."""
        errors: dict[str, str] = {}
        for line in message.splitlines():
            first = next((name for name in self._texts if re.search(rf"(^|: ){name} (=|is missing)", line)), None)
            named = [first] if first else [name for name in self._texts if re.search(rf"\b{name}\b", line)]
            for name in named:
                errors.setdefault(name, line)
        return errors

    def text(self) -> str:
        """Return one line a parameter."""
        now = self._values()
        lines = [f"{name} = {self._shown(name, value)}" for name, value in now["values"].items()]
        return "\n".join([self.name, *lines])

    def html(self) -> str:
        """Return the values as a table."""
        now = self._values()
        rows = [
            [escape(name), escape(self._shown(name, value)), escape(self._texts[name].field.doc)]
            for name, value in now["values"].items()
        ]
        return html_table(["parameter", "value", "meaning"], rows, caption=self.name, left=3)

    def _shown(self, name: str, value: str) -> str:
        if not value:
            return "off" if self._texts[name].field.optional else "''"
        unit = self._texts[name].unit
        return f"{value} {unit}" if unit else value


def _units(strategy: StrategyBase) -> dict[str, str]:
    """Return the assets that ``base`` and ``quote`` mean for this strategy."""
    try:
        pair = strategy.trading_pair
    except KitError:  # no market yet, or several pairs
        return {}
    return dict(zip(("base", "quote"), split_pair(pair), strict=True))
