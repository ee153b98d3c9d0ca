"""``Drawn``: the objects that show themselves in notebooks; see ``kit.types.drawn``."""

from kit.types.drawn import Bundle, Drawn, draw_with

__all__ = ["Bundle", "Drawn", "draw_with"]
