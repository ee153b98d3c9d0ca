"""The presets of one strategy as its form shows and uses them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kit.errors import InvalidInput
from kit.notebook.html_parts import quantity
from kit.notebook.param_text import ParamText
from kit.strategy.live_params import LiveParams, latest
from kit.strategy.presets import load_preset, preset_folder, preset_names, preset_path, save_preset


class PresetList:
    """Loads presets into a form and keeps what a form shows as one; ``texts`` write and read each parameter."""

    def __init__(self, params: LiveParams, texts: Mapping[str, ParamText]) -> None:
        self._params = params
        self._texts = texts
        self._names: tuple[str, ...] = ()

    def names(self) -> tuple[str, ...]:
        """Return the names there are; the same object as long as they are the same."""
        names = preset_names(type(self._params.model))
        if names != self._names:
            self._names = names
        return self._names

    def load(self, name: str) -> dict[str, Any]:
        """Return a preset's values as texts for the form, which applies them as one set; checked as a set already.

        Raises ``InvalidInput``, also where the form cannot set a value that the preset changes.
        """
        now = latest(self._params)
        wanted = now.evolve(**load_preset(type(now), name)).values()
        before = now.values()
        differ = [parameter for parameter, value in wanted.items() if value != before[parameter]]
        if foreign := [parameter for parameter in differ if self._texts[parameter].input == "fixed"]:
            raise InvalidInput(
                f"{name} changes {', '.join(foreign)}, which a form cannot; run strategy.params.load({name!r})"
            )
        count = quantity(len(differ), "value")
        return {
            "values": {
                parameter: text.write(wanted[parameter])
                for parameter, text in self._texts.items()
                if text.input != "fixed"
            },
            "text": f"{name} changes {count}; Apply applies it" if differ else f"{name} is what is applied",
        }

    def save(self, name: str, changes: Mapping[str, Any], *, replace: bool) -> dict[str, Any]:
        """Keep what the form shows, ``changes`` on top of what is applied, as a preset, if it is valid as a set.

        A preset of that name is only replaced when ``replace`` says so. Raises ``InvalidInput``.
        """
        name = name.strip()
        now = latest(self._params)
        if preset_path(type(now), name).parent != preset_folder(type(now)):
            raise InvalidInput(f"{name!r} is a path; a form keeps presets by name, strategy.params.save(path) anywhere")
        wanted = now.evolve(**changes)
        if name in self.names() and not replace:
            return {"ok": False, "exists": True, "text": f"{name} is there already: once more replaces it"}
        save_preset(wanted, name)
        return {"text": f"saved as {name}", "name": name}
