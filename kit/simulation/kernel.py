"""The two functions that Python calls: ``run`` takes rows of the market, ``act`` does one thing with the book."""

from __future__ import annotations

from kit.simulation.compile_cache import entry, part
from kit.simulation.kernel_book import (
    amount,
    drop_best,
    log_change,
    new_best,
    outside,
    set_amount,
)
from kit.simulation.kernel_layout import (
    ADD,
    AMOUNT,
    ARG,
    BASE,
    BBO,
    BEST,
    CANCEL,
    CLEAR,
    DONE,
    EXCH_UNTIL,
    FAR_MASK,
    FAR_USED,
    FIFO,
    FILL,
    FILL_ROOM,
    FILLED,
    FILLS,
    FLOOR,
    GROW_FILLS,
    GROW_L3,
    GROW_LOG,
    HALT,
    KNOWN,
    L3_MASK,
    L3_USED,
    LEVELS,
    LOG_HEAD,
    LOG_ROOM,
    LOG_TAIL,
    LOOK,
    M_ID,
    M_KEY,
    M_QTY,
    M_SEQUENCE,
    M_SIDE,
    MARKET_WORDS,
    MARKS,
    MODE,
    NONE,
    O_FRONT,
    O_LEAVES,
    ORDERS,
    OUT,
    OWN_BEST,
    OWN_WORST,
    P_CODE,
    P_DENSE,
    P_EXCH,
    P_FAR,
    P_L3,
    P_LOCAL,
    P_LOG,
    P_MARKS,
    P_ORDER_ID,
    P_OUT,
    P_QTY,
    P_TICK,
    POSITION,
    QUEUE,
    RARE,
    REFRESH,
    REMOVE,
    RESTING,
    ROW,
    ROWS,
    SEQUENCE,
    SET_LEVEL,
    SNAPSHOT,
    SUBMIT,
    TOO_EARLY,
    TRADE,
    U_AFTER,
    U_BEFORE,
    U_BEST,
    U_KEY,
    U_ROW,
    U_SIDE,
    UNDO_FROM,
    UNDO_WORDS,
    VIEW,
    VIEW_BEST,
    VIEW_QTY,
    WINDOW,
)
from kit.simulation.kernel_memory import (
    least,
    read_byte,
    read_float,
    read_int,
    read_tick,
    write_float,
    write_int,
)
from kit.simulation.kernel_orders import find_order, own_crossed, own_depth, own_trade, refresh, submit


@part
def _after(times: int, first: int, rows: int, until: int) -> int:
    """Return the first row from ``first`` on whose time is above ``until``; gallops, as it is mostly near."""
    step, low, high = 1, first, first
    while high < rows and read_int(times, high) <= until:
        low, high, step = high + 1, high + step, step * 2
    high = least(high, rows)
    while low < high:
        middle = (low + high) >> 1
        if read_int(times, middle) <= until:
            low = middle + 1
        else:
            high = middle
    return low


@part
def _depth(state: int, row: int, side: int, key: int, qty: float, logs: int) -> int:
    """Apply one level. 0, ``FILLED``, minus a code (applied, but see to that first) or a code (not applied)."""
    k = key - read_int(state, BASE + side)
    if k < 0 or k >= read_int(state, WINDOW):
        before = amount(state, side, key)
        status = outside(state, side, key, qty)
        if status:
            return status
    else:
        dense = read_int(state, P_DENSE + side)
        before = read_float(dense, k)
        write_float(dense, k, qty)
    if logs:
        log_change(state, row, side, key, before)
    if read_int(state, OWN_WORST + side) <= key <= read_int(state, OWN_BEST + side) and read_int(
        read_int(state, P_MARKS + side), key & (MARKS - 1)
    ):
        own_depth(state, side, key, before, qty)
    best = read_int(state, BEST + side)
    if key < best:
        return 0
    if qty == 0.0:
        return drop_best(state, side, key - 1) if key == best else 0
    if key == best:
        return 0
    status = new_best(state, side, key)
    if read_int(state, OWN_BEST + 1 - side) + key >= -1:
        own_crossed(state, read_int(read_int(state, P_EXCH), row), 1 - side, key)
        return status or FILLED
    return status


@part
def _bbo(state: int, row: int, side: int, key: int, qty: float, logs: int) -> int:
    """Make a level the best: what stands above it is gone. Removing is repeatable, so any code can stop it."""
    while read_int(state, BEST + side) > key:
        if logs and read_int(state, LOG_TAIL) + 2 > read_int(state, LOG_ROOM):
            return GROW_LOG
        status = _depth(state, row, side, read_int(state, BEST + side), 0.0, logs)
        if status:
            return abs(status)
    return _depth(state, row, side, key, qty, logs)


@part
def _market_order(state: int, order_id: int) -> int:
    """Return the address of a market's order, or of the empty place where it would go."""
    table, mask = read_int(state, P_L3), read_int(state, L3_MASK)
    slot = (order_id * -7046029254386353131 >> 32) & mask
    found = table + 8 * MARKET_WORDS * slot
    while read_int(found, M_ID) != order_id and read_int(found, M_ID) != 0:
        slot = (slot + 1) & mask
        found = table + 8 * MARKET_WORDS * slot
    return found


@part
def _shift_level(state: int, row: int, order: int, change: float, logs: int) -> int:
    side, key = read_int(order, M_SIDE), read_int(order, M_KEY)
    level = amount(state, side, key) + change
    # Sums of floats leave dust; no level is smaller than a millionth of its change.
    if level < abs(change) * 1e-6:
        level = 0.0
    return _depth(state, row, side, key, level, logs)


@part
def _rest(state: int, row: int, order: int, side: int, key: int, qty: float, logs: int) -> int:
    sequence = read_int(state, SEQUENCE) + 1
    write_int(order, M_SIDE, side)
    write_int(order, M_KEY, key)
    status = _shift_level(state, row, order, qty, logs)
    if status <= FILLED:
        write_int(state, SEQUENCE, sequence)
        write_int(order, M_SEQUENCE, sequence)
        write_float(order, M_QTY, qty)
    return status


@part
def _by_order(  # noqa: C901, PLR0911 - a case for each kind, in the order of the feed's definition
    state: int, row: int, code: int, key: int, qty: float, logs: int
) -> int:
    """Apply a row of an order-by-order feed; a FILL only tells who was filled, a CANCEL or MODIFY follows it."""
    order_id = read_int(read_int(state, P_ORDER_ID), row)
    order, side, kind = _market_order(state, order_id), code & 1, code & ~1
    known = read_int(order, M_ID) == order_id and read_float(order, M_QTY) > 0.0
    if kind == FILL:
        sequence = read_int(order, M_SEQUENCE) if known else 0
        if read_int(state, OWN_BEST + side) < key:
            return 0
        return own_trade(state, read_int(read_int(state, P_EXCH), row), side, key, qty, sequence)
    if kind == CANCEL or qty == 0.0:
        if not known:
            return 0
        status = _shift_level(state, row, order, -read_float(order, M_QTY), logs)
        if status <= FILLED:
            write_float(order, M_QTY, 0.0)
        return status
    if known:
        old = read_float(order, M_QTY)
        stays = read_int(order, M_KEY) == key and qty <= old
        status = _shift_level(state, row, order, qty - old if stays else -old, logs)
        if status <= FILLED:
            write_float(order, M_QTY, qty if stays else 0.0)
        if stays or status:
            # Off its old place but not all seen to: the row comes again, and the order is then new.
            return status if stays else abs(status)
    if read_int(order, M_ID) != order_id:
        if 2 * (read_int(state, L3_USED) + 1) > read_int(state, L3_MASK):
            return GROW_L3
        write_int(state, L3_USED, read_int(state, L3_USED) + 1)
        write_int(order, M_ID, order_id)
        write_float(order, M_QTY, 0.0)
    return _rest(state, row, order, side, key, qty, logs)


@part
def _other(state: int, row: int, code: int, key: int, qty: float, logs: int) -> int:
    """Apply a row that is neither depth nor trade."""
    if code >= CLEAR or (code < BBO and not read_int(state, KNOWN)):
        return RARE
    if code < BBO:
        return _depth(state, row, code & 1, key, qty, logs)
    if code < ADD:
        return _bbo(state, row, code & 1, key, qty, logs)
    return _by_order(state, row, code, key, qty, logs)


@part
def _quiet_level(state: int, side: int, key: int, qty: float) -> int:
    """Apply a level below the touch, in the window and away from own orders: 1 if it was one. Most rows are."""
    k = key - read_int(state, BASE + side)
    if k < 0 or k >= read_int(state, WINDOW) or key >= read_int(state, BEST + side):
        return 0
    if read_int(state, OWN_WORST + side) <= key <= read_int(state, OWN_BEST + side):
        return 0
    write_float(read_int(state, P_DENSE + side), k, qty)
    return 1


@part
def _has_to_log(state: int, row: int, exposed: int) -> int:
    """Tell whether an answer may take the view to before this row: with own orders resting, any row may fill one."""
    if not exposed:
        return 0
    seen = read_int(read_int(state, P_LOCAL), row)
    return seen > read_int(read_int(state, P_EXCH), row) + read_int(state, FLOOR)


@part
def _row(state: int, row: int, code: int, key: int, qty: float, logs: int) -> int:
    """Apply a row that needs care; see ``_depth`` for what is returned."""
    if TRADE <= code < SNAPSHOT:
        if read_int(state, OWN_BEST + (code & 1)) < key or read_int(state, QUEUE) == FIFO:
            return DONE
        return own_trade(state, read_int(read_int(state, P_EXCH), row), code & 1, key, qty, -1)
    if logs and read_int(state, LOG_TAIL) + 2 > read_int(state, LOG_ROOM):
        return GROW_LOG
    if code < TRADE:
        return _depth(state, row, code, key, qty, logs)
    return _other(state, row, code, key, qty, logs)


@part
def _rows(state: int, stop: int, log_from: int, halt: int) -> int:
    """Apply rows up to ``stop``; returns what ended it."""
    codes, ticks, amounts = read_int(state, P_CODE), read_int(state, P_TICK), read_int(state, P_QTY)
    exposed = read_int(state, RESTING) > 0
    row, bare, status = read_int(state, ROW), read_int(state, UNDO_FROM), DONE
    while row < stop:
        code, qty = read_byte(codes, row), read_float(amounts, row)
        key = read_tick(ticks, row) ^ -(code & 1)
        logs = row >= log_from or _has_to_log(state, row, exposed)
        if not logs:
            bare = row + 1
            if code < TRADE and _quiet_level(state, code, key, qty):
                row += 1
                continue
        status = _row(state, row, code, key, qty, logs)
        if status > FILLED:
            break
        row += 1
        if status < 0:
            status = -status
            break
        if status:
            if read_int(state, FILL_ROOM) - read_int(state, FILLS) < read_int(state, ORDERS):
                status = GROW_FILLS
                break
            if halt:
                break
            status = DONE
    write_int(state, ROW, row)
    write_int(state, UNDO_FROM, bare)
    return status


@part
def _view_best(state: int, side: int) -> None:
    head, tail, log = read_int(state, LOG_HEAD), read_int(state, LOG_TAIL), read_int(state, P_LOG)
    best = read_int(state, BEST + side) if head == tail else read_int(log, UNDO_WORDS * head + U_BEST + side)
    write_int(state, VIEW_BEST + side, best)
    write_float(state, VIEW_QTY + side, 0.0 if best == NONE else _seen_amount(state, side, best))


@part
def _seen_amount(state: int, side: int, key: int) -> float:
    """Return the amount of a level as the view has it: before the first change that the view has not seen."""
    log = read_int(state, P_LOG)
    for index in range(read_int(state, LOG_HEAD), read_int(state, LOG_TAIL)):
        undo = log + 8 * UNDO_WORDS * index
        if read_int(undo, U_KEY) == key and read_int(undo, U_SIDE) == side:
            return read_float(undo, U_BEFORE)
    return amount(state, side, key)


@part
def _move_view(state: int, view: int) -> None:
    log, head, tail = read_int(state, P_LOG), read_int(state, LOG_HEAD), read_int(state, LOG_TAIL)
    while head < tail and read_int(log, UNDO_WORDS * head + U_ROW) < view:
        head += 1
    if head == tail:
        head = tail = 0
    write_int(state, LOG_HEAD, head)
    write_int(state, LOG_TAIL, tail)
    write_int(state, VIEW, view)
    for side in range(2):
        _view_best(state, side)


@entry
def run(state: int) -> int:
    """Move the exchange side to EXCH_UNTIL and the view to LOOK, as MODE says; returns what ended it."""
    mode, rows, view = read_int(state, MODE), read_int(state, ROWS), read_int(state, VIEW)
    look = _after(read_int(state, P_LOCAL), view, rows, read_int(state, LOOK))
    stop = read_int(state, ROW)
    halt = 0
    if mode & 1:
        stop = _after(read_int(state, P_EXCH), stop, rows, read_int(state, EXCH_UNTIL))
        halt = read_int(state, HALT)
    status = DONE
    while True:
        status = _rows(state, stop, look, halt)
        if status != DONE or not mode & 2 or stop >= look:
            break
        stop, halt = look, 0
    if status != DONE or not mode & 2:
        return status
    if look < read_int(state, UNDO_FROM) and look < read_int(state, ROW):
        return TOO_EARLY
    _move_view(state, look)
    return DONE


@part
def _rewind(state: int) -> None:
    log = read_int(state, P_LOG)
    for index in range(read_int(state, LOG_TAIL) - 1, read_int(state, LOG_HEAD) - 1, -1):
        undo = log + 8 * UNDO_WORDS * index
        side, key = read_int(undo, U_SIDE), read_int(undo, U_KEY)
        write_float(undo, U_AFTER, amount(state, side, key))
        set_amount(state, side, key, read_float(undo, U_BEFORE))


@part
def _redo(state: int) -> None:
    log = read_int(state, P_LOG)
    for index in range(read_int(state, LOG_HEAD), read_int(state, LOG_TAIL)):
        undo = log + 8 * UNDO_WORDS * index
        set_amount(state, read_int(undo, U_SIDE), read_int(undo, U_KEY), read_float(undo, U_AFTER))


@part
def _levels(state: int) -> None:
    """Copy the view's levels. ARG: side, count; OUT: levels of the window (in order), levels outside (in any)."""
    side, count = read_int(state, ARG), read_int(state, ARG + 1)
    best, out = read_int(state, VIEW_BEST + side), read_int(state, P_OUT)
    base, dense = read_int(state, BASE + side), read_int(state, P_DENSE + side)
    found, far = 0, 0
    _rewind(state)
    if best != NONE:
        k = least(best - base, read_int(state, WINDOW) - 1)
        # With the window moved above or below the view's best, all outside levels are needed for the order.
        while k >= 0 and found < count:
            if read_float(dense, k) > 0.0:
                write_int(out, 2 * found, base + k)
                write_float(out, 2 * found + 1, read_float(dense, k))
                found += 1
            k -= 1
        far = _far_levels(state, side, best, out + 16 * found) if k < 0 or best >= base + read_int(state, WINDOW) else 0
    _redo(state)
    write_int(state, OUT, found)
    write_int(state, OUT + 1, far)


@part
def _far_levels(state: int, side: int, best: int, out: int) -> int:
    found, table = 0, read_int(state, P_FAR + side)
    if read_int(state, FAR_USED + side) == 0:
        return 0
    for slot in range(read_int(state, FAR_MASK + side) + 1):
        key = read_int(table, 2 * slot)
        if NONE < key <= best and read_float(table, 2 * slot + 1) > 0.0:
            write_int(out, 2 * found, key)
            write_float(out, 2 * found + 1, read_float(table, 2 * slot + 1))
            found += 1
    return found


@part
def _find(state: int) -> int:
    order = find_order(state, read_int(state, ARG))
    write_int(state, OUT, read_int(order, O_LEAVES) if order else -1)
    return order


@entry
def act(state: int, what: int) -> int:
    """Do one thing; arguments and answers lie in the state."""
    if what == SUBMIT:
        submit(state)
    elif what == POSITION:
        order = _find(state)
        if order:
            write_float(state, OUT + 1, read_float(order, O_FRONT))
    elif what == REMOVE:
        order = _find(state)
        if order:
            write_int(order, O_LEAVES, 0)
            refresh(state)
    elif what == LEVELS:
        _levels(state)
    elif what == AMOUNT:
        write_float(state, OUT, _seen_amount(state, read_int(state, ARG), read_int(state, ARG + 1)))
    elif what == SET_LEVEL:
        return set_amount(state, read_int(state, ARG), read_int(state, ARG + 1), read_float(state, ARG + 2))
    elif what == REFRESH:
        refresh(state)
    return 0
