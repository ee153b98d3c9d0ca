"""Objects show themselves in notebooks by a drawer that the top wires; below it nobody knows notebooks."""

import subprocess
import sys

from kit.types import drawn
from kit.types.drawn import Drawn, draw_with


class Thing(Drawn):
    def __repr__(self):
        return "<Thing>"


def test_without_a_drawer_an_object_shows_its_text(monkeypatch):
    monkeypatch.setattr(drawn, "_drawers", [])
    assert Thing()._repr_mimebundle_() == {"text/plain": "<Thing>"}


def test_the_drawer_is_asked_for_each_picture(monkeypatch):
    monkeypatch.setattr(drawn, "_drawers", [])
    draw_with(lambda thing: {"text/plain": f"first {thing!r}"})
    draw_with(lambda thing: {"text/plain": f"drawn {thing!r}"})
    assert Thing()._repr_mimebundle_(include=None, exclude=None) == {"text/plain": "drawn <Thing>"}


def test_the_mixin_takes_no_room():
    assert Drawn.__slots__ == ()


def test_importing_kit_wires_the_drawer_and_loads_no_notebook():
    code = (
        "import sys, kit\n"
        "from kit.types import drawn\n"
        "print(len(drawn._drawers), [name for name in sys.modules if name.startswith(('kit.notebook', 'IPython'))])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "1 []"
