"""The kernel's memory: what it points to, how it grows, and the rare rows that are easier in numpy."""

from __future__ import annotations

from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from kit.errors import InvariantBroken
from kit.simulation import kernel
from kit.simulation import kernel_layout as layout

DEFAULT_WINDOW: Final = 1 << 18
_FAR_ROOM = 1 << 12
_ROOM = 1 << 10


def address_of(array: NDArray[Any]) -> int:
    """Return where an array's data lies; the caller keeps the array alive."""
    return int(array.__array_interface__["data"][0])


class KernelState:
    """Own every array that the kernel reads and writes by address, and do what it stops for.

    ``words`` and ``floats`` are two views of the same state, word by word (``kernel_layout``).
    """

    def __init__(self, window: int = DEFAULT_WINDOW) -> None:
        self._state = np.zeros(layout.STATE_WORDS, np.int64)
        self.address = address_of(self._state)
        self.words = cast("memoryview[int]", memoryview(cast("Any", self._state)))
        self.floats = cast("memoryview[float]", memoryview(cast("Any", self._state.view(np.float64))))
        self._kept: dict[int, NDArray[Any]] = {}
        words = self.words
        words[layout.WINDOW] = window
        words[layout.KNOWN] = 1
        for side in (0, 1):
            words[layout.BEST + side] = words[layout.VIEW_BEST + side] = layout.NONE
            self.place(layout.P_DENSE + side, np.zeros(window, np.float64))
            self._new_far(side, _FAR_ROOM)
        marks = self.place(layout.P_MARKS, np.zeros(2 * layout.MARKS, np.int64))
        words[layout.P_MARKS + 1] = address_of(marks) + 8 * layout.MARKS
        self._room(layout.P_LOG, layout.LOG_ROOM, layout.UNDO_WORDS, _ROOM)
        self._room(layout.P_ORDERS, layout.ORDER_ROOM, layout.ORDER_WORDS, _ROOM)
        self._room(layout.P_FILLS, layout.FILL_ROOM, layout.FILL_WORDS, 4 * _ROOM)
        self._room(layout.P_TAKEN, layout.TAKEN_ROOM, layout.TAKEN_WORDS, _ROOM)
        self._new_market_orders(4 * _ROOM)
        self.place(layout.P_OUT, np.zeros(2, np.int64))
        self.act(layout.REFRESH)

    def act(self, what: int) -> int:
        """Call the kernel's ``act``."""
        return kernel.act(self.address, what)

    def place(self, word: int, array: NDArray[Any]) -> NDArray[Any]:
        """Put an array's address into a word and keep the array."""
        self._kept[word] = array
        self.words[word] = address_of(array)
        return array

    def table(self, word: int, width: int) -> NDArray[np.int64]:
        """Return the table of rows of ``width`` words that a word points to."""
        return self._kept[word].reshape(-1, width)

    def serve(self, status: int) -> None:
        """Do what a run stopped for, so that it can go on."""
        words = self.words
        if status == layout.GROW_LOG:
            self._grow_log(4)
        elif status == layout.GROW_FAR:
            for side in (0, 1):
                if 2 * words[layout.FAR_USED + side] + 4 > words[layout.FAR_MASK + side]:
                    self._rebuild_far(side)
        elif status == layout.MOVE_WINDOW:
            self._move_window(words[layout.TARGET], words[layout.TARGET + 1])
        elif status == layout.GROW_FILLS:
            self._room(layout.P_FILLS, layout.FILL_ROOM, layout.FILL_WORDS, 2 * words[layout.FILL_ROOM])
        elif status == layout.GROW_TAKEN:
            self._room(layout.P_TAKEN, layout.TAKEN_ROOM, layout.TAKEN_WORDS, 2 * words[layout.TAKEN_ROOM])
        elif status == layout.GROW_L3:
            self._grow_market_orders()
        elif status == layout.RARE:
            self._rare_row()
        else:
            raise InvariantBroken(f"the kernel ended with the unknown status {status}")

    def ensure_orders(self) -> None:
        """Make room for one more own order."""
        if self.words[layout.ORDERS] + 2 > self.words[layout.ORDER_ROOM]:
            self._room(layout.P_ORDERS, layout.ORDER_ROOM, layout.ORDER_WORDS, 2 * self.words[layout.ORDER_ROOM])

    def shift_rows(self, rows: int) -> None:
        """Renumber all rows after the first ``rows`` of the columns were dropped."""
        words = self.words
        for word in (layout.ROW, layout.VIEW, layout.UNDO_FROM):
            words[word] = max(0, words[word] - rows)
        log = self.table(layout.P_LOG, layout.UNDO_WORDS)
        log[words[layout.LOG_HEAD] : words[layout.LOG_TAIL], layout.U_ROW] -= rows

    def read_levels(self, side: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return keys and amounts of the view's best levels, best first (at least ``count`` if there are as many)."""
        words = self.words
        room = min(count, words[layout.WINDOW]) + words[layout.FAR_MASK + side] + 1
        if len(self._kept[layout.P_OUT]) < 2 * room:
            self.place(layout.P_OUT, np.empty(2 * room, np.int64))
        words[layout.ARG], words[layout.ARG + 1] = side, count
        self.act(layout.LEVELS)
        near, far = words[layout.OUT], words[layout.OUT + 1]
        rows = self.table(layout.P_OUT, 2)[: near + far]
        if far:
            rows = rows[np.argsort(-rows[:, 0])]
        keys, amounts = np.ascontiguousarray(rows.T)
        return keys, amounts.view(np.float64)

    def _rare_row(self) -> None:
        words = self.words
        row = words[layout.ROW]
        code = int(self._kept[layout.P_CODE][row])
        if code >= layout.CLEAR:
            sides = (0, 1) if code >= layout.CLEAR_ALL else (code & 1,)
            for side in sides:
                self._clear(side, row)
            words[layout.ROW] = row + 1
        if (code >= layout.GAP) == bool(words[layout.KNOWN]):
            words[layout.KNOWN] = int(code < layout.GAP)
            self.act(layout.REFRESH)

    def _clear(self, side: int, row: int) -> None:
        words = self.words
        dense, far = self._kept[layout.P_DENSE + side], self._live_far(side)
        places = np.flatnonzero(dense != 0.0)  # twenty times faster than on the floats themselves
        undo = np.zeros((len(places) + len(far), layout.UNDO_WORDS), np.int64)
        undo[:, layout.U_ROW], undo[:, layout.U_SIDE] = row, side
        undo[:, layout.U_KEY] = np.concatenate([places + words[layout.BASE + side], far[:, 0]])
        undo[:, layout.U_BEFORE] = np.concatenate([dense[places].view(np.int64), far[:, 1]])
        undo[:, layout.U_BEST] = words[layout.BEST]
        undo[:, layout.U_BEST + 1] = words[layout.BEST + 1]
        self._grow_log(len(undo) + 4)
        tail = words[layout.LOG_TAIL]
        self.table(layout.P_LOG, layout.UNDO_WORDS)[tail : tail + len(undo)] = undo
        words[layout.LOG_TAIL] = tail + len(undo)
        dense[places] = 0.0
        self.table(layout.P_FAR + side, 2)[:, 1] = 0
        words[layout.BEST + side] = layout.NONE
        self._keep_taken(self._taken()[:, layout.T_SIDE] != side)
        if code_by_order(self._kept.get(layout.P_ORDER_ID)):
            self._forget_market_orders(side)

    def give_back(self, side: int, key: int, lots: int) -> None:
        """Undo that our taker took lots of a level."""
        taken = self._taken()
        taken[(taken[:, layout.T_SIDE] == side) & (taken[:, layout.T_KEY] == key), layout.T_LOTS] -= lots
        self._keep_taken(taken[:, layout.T_LOTS] > 0)

    def _taken(self) -> NDArray[np.int64]:
        return self.table(layout.P_TAKEN, layout.TAKEN_WORDS)[: self.words[layout.TAKEN_LEVELS]]

    def _keep_taken(self, which: NDArray[np.bool_]) -> None:
        kept = self._taken()[which]
        self.table(layout.P_TAKEN, layout.TAKEN_WORDS)[: len(kept)] = kept
        self.words[layout.TAKEN_LEVELS] = len(kept)

    def _forget_market_orders(self, side: int) -> None:
        table = self.table(layout.P_L3, layout.MARKET_WORDS)
        table[table[:, layout.M_SIDE] == side, layout.M_QTY] = 0
        # Nothing is known about who stands at a level now: own orders count as its last.
        orders = self.table(layout.P_ORDERS, layout.ORDER_WORDS)[: self.words[layout.ORDERS]]
        orders[orders[:, layout.O_SIDE] == side, layout.O_SEQUENCE] = -layout.NONE

    def _live_far(self, side: int) -> NDArray[np.int64]:
        table = self.table(layout.P_FAR + side, 2)
        live: NDArray[np.int64] = table[(table[:, 0] != layout.NONE) & (table[:, 1] != 0)]
        return live

    def _new_far(self, side: int, room: int) -> None:
        table = np.zeros((room, 2), np.int64)
        table[:, 0] = layout.NONE
        self.place(layout.P_FAR + side, table.reshape(-1))
        self.words[layout.FAR_MASK + side] = room - 1
        self.words[layout.FAR_USED + side] = 0

    def _rebuild_far(self, side: int, more: NDArray[np.int64] | None = None) -> None:
        levels = self._live_far(side)
        if more is not None:
            levels = np.concatenate([levels, more])
        room = _FAR_ROOM
        while room < 4 * (len(levels) + 2):
            room *= 2
        self._new_far(side, room)
        words = self.words
        for key, bits in levels.tolist():
            words[layout.ARG], words[layout.ARG + 1], words[layout.ARG + 2] = side, key, bits
            self.act(layout.SET_LEVEL)

    def _move_window(self, side: int, target: int) -> None:
        """Place the window around a key: a quarter for better prices, three for worse; nothing is lost."""
        words = self.words
        window, old = words[layout.WINDOW], words[layout.BASE + side]
        dense = self._kept[layout.P_DENSE + side]
        places = np.flatnonzero(dense != 0.0)
        levels = np.stack([places + old, dense[places].view(np.int64)], axis=1)
        dense[places] = 0.0
        words[layout.BASE + side] = target - 3 * window // 4
        self._rebuild_far(side, levels)

    def _grow_log(self, room: int) -> None:
        words = self.words
        head, tail = words[layout.LOG_HEAD], words[layout.LOG_TAIL]
        if tail + room <= words[layout.LOG_ROOM]:
            return
        kept = self.table(layout.P_LOG, layout.UNDO_WORDS)[head:tail].copy()
        if 2 * (len(kept) + room) > words[layout.LOG_ROOM]:
            self._room(layout.P_LOG, layout.LOG_ROOM, layout.UNDO_WORDS, 4 * (len(kept) + room))
        self.table(layout.P_LOG, layout.UNDO_WORDS)[: len(kept)] = kept
        words[layout.LOG_HEAD], words[layout.LOG_TAIL] = 0, len(kept)

    def _room(self, word: int, size: int, width: int, rows: int) -> None:
        table = np.zeros(rows * width, np.int64)
        old = self._kept.get(word)
        if old is not None:
            table[: len(old)] = old
        self.place(word, table)
        self.words[size] = rows

    def _new_market_orders(self, room: int) -> None:
        self.place(layout.P_L3, np.zeros(room * layout.MARKET_WORDS, np.int64))
        self.words[layout.L3_MASK] = room - 1
        self.words[layout.L3_USED] = 0

    def _grow_market_orders(self) -> None:
        table = self.table(layout.P_L3, layout.MARKET_WORDS)
        live = table[(table[:, layout.M_ID] != 0) & (table[:, layout.M_QTY] != 0)]
        room = 4 * _ROOM
        while room < 4 * (len(live) + 2):
            room *= 2
        self._new_market_orders(room)
        new, mask = self.table(layout.P_L3, layout.MARKET_WORDS), room - 1
        for order in live:
            # The kernel's hash, in Python's unbounded integers.
            product = (int(order[layout.M_ID]) * -7046029254386353131) & (2**64 - 1)
            signed = product - 2**64 if product >= 2**63 else product
            slot = (signed >> 32) & mask
            while new[slot, layout.M_ID]:
                slot = (slot + 1) & mask
            new[slot] = order
        self.words[layout.L3_USED] = len(live)


def code_by_order(order_ids: NDArray[np.int64] | None) -> bool:
    """Tell whether a feed is order by order."""
    return order_ids is not None and len(order_ids) > 0
