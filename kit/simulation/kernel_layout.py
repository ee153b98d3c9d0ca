"""Where the kernel's state lies: word numbers in the state, in an order, in a fill and in an undo entry (8 bytes each).

Prices are keys: a bid's key is its tick, an ask's key is ``~tick`` (that is ``-tick - 1``). On both sides a higher key
is a better price, so every rule is written once; key ``b`` of one side and key ``a`` of the other cross when
``a + b >= -1``.
"""

from __future__ import annotations

from typing import Final

NONE: Final = -(1 << 60)
"""The key of no level; adding any key to it crosses nothing."""

# State: two words in a row where a name stands for both sides (bid first).
ROW: Final = 0  # next row of the exchange side
ROWS: Final = 1
VIEW: Final = 2  # next row of the view
MODE: Final = 3  # bit 0: move the exchange, bit 1: move the view
EXCH_UNTIL: Final = 4  # ns
LOOK: Final = 5  # ns
HALT: Final = 6  # 1: stop after a row that filled an own order
FLOOR: Final = 7  # ns, the smallest response latency
UNDO_FROM: Final = 8  # rows from here on can be undone
P_EXCH: Final = 9  # addresses of the columns
P_LOCAL: Final = 10
P_CODE: Final = 11
P_TICK: Final = 12
P_QTY: Final = 13
P_ORDER_ID: Final = 14  # 0: not order by order
WINDOW: Final = 15
BASE: Final = 16  # first key of the window (2)
BEST: Final = 18  # (2)
P_DENSE: Final = 20  # (2)
P_FAR: Final = 22  # (2) pairs of words: key, amount
FAR_MASK: Final = 24  # (2) capacity - 1
FAR_USED: Final = 26  # (2) slots taken, also by removed levels
TARGET: Final = 28  # side and key that the window has to move to (2)
P_LOG: Final = 30
LOG_ROOM: Final = 31
LOG_HEAD: Final = 32
LOG_TAIL: Final = 33
P_ORDERS: Final = 34
ORDERS: Final = 35
ORDER_ROOM: Final = 36
P_FILLS: Final = 37
FILLS: Final = 38
FILL_ROOM: Final = 39
OWN_BEST: Final = 40  # (2)
OWN_WORST: Final = 42  # (2)
P_MARKS: Final = 44  # (2) MARKS words: how many own orders have a key of that hash
KNOWN: Final = 46
QUEUE: Final = 47
QUEUE_N: Final = 48  # float
P_MODEL: Final = 49
PARTIAL: Final = 50
STP: Final = 51
LOT: Final = 52  # float
SEQUENCE: Final = 53  # arrivals counted, order by order
P_L3: Final = 54
L3_MASK: Final = 55
L3_USED: Final = 56
VIEW_BEST: Final = 58  # (2) keys
VIEW_QTY: Final = 60  # (2) floats
RESTING: Final = 62  # own orders resting (of all, known book or not)
# Arguments and answers of one act.
ARG: Final = 64  # (8)
OUT: Final = 72  # (8)
P_OUT: Final = 80
# What our takers took of levels that have not changed since.
P_TAKEN: Final = 81
TAKEN_LEVELS: Final = 82
TAKEN_ROOM: Final = 83
STATE_WORDS: Final = 96

MARKS: Final = 1024

# One own order.
O_ID: Final = 0
O_SIDE: Final = 1
O_KEY: Final = 2
O_LEAVES: Final = 3  # lots
O_SEQUENCE: Final = 4
O_FRONT: Final = 5  # float, base
O_TRADED: Final = 6  # float, base: traded at the level since its last depth change
ORDER_WORDS: Final = 8
ORDER_BYTES: Final = 8 * ORDER_WORDS

# One fill.
F_ID: Final = 0
F_TS: Final = 1
F_TICK: Final = 2
F_LOTS: Final = 3
F_KIND: Final = 4
F_LEAVES: Final = 5
FILL_WORDS: Final = 6
TAKER: Final = 0
MAKER: Final = 1
EXPIRED: Final = 2

# One level that we took from.
T_SIDE: Final = 0
T_KEY: Final = 1
T_LOTS: Final = 2
T_SEEN: Final = 3  # float, base: the level's amount; with another one it is another level
TAKEN_WORDS: Final = 4

# One undo entry.
U_ROW: Final = 0
U_SIDE: Final = 1
U_KEY: Final = 2
U_BEFORE: Final = 3  # float
U_BEST: Final = 4  # (2)
U_AFTER: Final = 6  # float, written by a rewind
UNDO_WORDS: Final = 8

# One order of the market, order by order.
M_ID: Final = 0
M_SIDE: Final = 1
M_KEY: Final = 2
M_QTY: Final = 3  # float
M_SEQUENCE: Final = 4
MARKET_WORDS: Final = 5

# Row codes: the lowest bit is the side.
DEPTH: Final = 0
TRADE: Final = 2  # the side is the passive one: 2 hits bids
SNAPSHOT: Final = 4
BBO: Final = 6
ADD: Final = 8
CANCEL: Final = 10
MODIFY: Final = 12
FILL: Final = 14
CLEAR: Final = 16
CLEAR_ALL: Final = 18
GAP: Final = 20

# What a run ended with.
DONE: Final = 0
FILLED: Final = 1
GROW_LOG: Final = 2
GROW_FAR: Final = 3
MOVE_WINDOW: Final = 4
RARE: Final = 5  # CLEAR, CLEAR_ALL, GAP, SNAPSHOT of an unknown book: the engine's Python does them
GROW_FILLS: Final = 6
GROW_L3: Final = 7
TOO_EARLY: Final = 8  # a look at rows that cannot be undone
GROW_TAKEN: Final = 9

# Queue models.
RISK_AVERSE: Final = 0
POWER: Final = 1
LOG: Final = 2
POWER2: Final = 3
LOG2: Final = 4
POWER3: Final = 5
FIFO: Final = 6
OWN_DEPTH: Final = 7
OWN_PROBABILITY: Final = 8

# Acts.
SUBMIT: Final = 0
REMOVE: Final = 1
LEVELS: Final = 2
AMOUNT: Final = 3
SET_LEVEL: Final = 4
POSITION: Final = 5
REFRESH: Final = 6

# What a submission came to.
RESTS: Final = 0
TAKEN: Final = 1
LAPSED: Final = 2
REFUSED: Final = 3  # post-only would have taken
STP_NONE: Final = 0
STP_TAKER: Final = 1
STP_MAKER: Final = 2
STP_BOTH: Final = 3
LIMIT: Final = 0
POST_ONLY: Final = 1
MARKET: Final = 2
GTC: Final = 0
IOC: Final = 1
FOK: Final = 2
