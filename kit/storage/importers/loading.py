"""Events from whatever holds them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from kit.errors import InvalidInput
from kit.storage.clock_offset import correct_clock as corrected
from kit.storage.events import MarketEvents
from kit.storage.importers import forms
from kit.storage.importers.binance_csv import import_binance_csv
from kit.storage.importers.columns import merged
from kit.storage.importers.hftbacktest import import_hftbacktest
from kit.storage.importers.raw import import_raw
from kit.storage.importers.tardis import import_tardis
from kit.storage.recordings import Recording, open_recording

Source: TypeAlias = MarketEvents | Recording | str | PathLike[str]


def load_events(
    source: Source | Sequence[Source],
    *,
    trading_pair: str | None = None,
    exchange: str | None = None,
    start: float | None = None,
    end: float | None = None,
    form: str | None = None,
    correct_clock: bool = True,
    **options: Any,
) -> MarketEvents:
    """Return the events of one pair from a file, a recording or its folder, events, or a list of these.

    Forms, guessed unless ``form`` names one: ``"raw"`` (recorded raw streams), ``"binance_csv"`` (data.binance.vision;
    csv, zip), ``"tardis"``, ``"hftbacktest"`` (npz, npy) and ``"recording"`` (a folder written by ``core.record``, or
    one of its files).
    Files of one form belong together and come in the order of their time; what comes from different forms is merged by
    local time, which must make sense: give one clock's recordings. ``options`` go to the importer of the files, see
    ``kit.storage.importers``.

    ``trading_pair`` is needed for files, which do not tell it; a recording that holds one pair tells it itself.
    ``exchange`` is ``"binance"`` where neither you nor the file tells. ``start`` and ``end`` (seconds since the epoch)
    cut by local time, ``end`` not included; files that do not begin with a snapshot then lack the book, so cut
    recordings at snapshots. ``correct_clock`` adds a constant to local times of files where some event arrives before
    it happened (see ``kit.correct_clock``); of a recording it is that of the whole (``Recording.clock_offset``).

    Raises ``BadFile`` (an ``InvalidInput``) naming file and line or row for damage; ``InvalidInput`` for missing files,
    pairs or forms, times that go back, and when nothing is left.
    """
    if form is not None and form not in forms.FORMS:
        raise InvalidInput(f"form is {form!r}; it must be one of {', '.join(forms.FORMS)}")
    sources = [source] if isinstance(source, (MarketEvents, Recording, str, PathLike)) else list(source)
    if not sources:
        raise InvalidInput("no source of events given: name a file, a folder, or pass MarketEvents")
    parts = [one for one in sources if isinstance(one, MarketEvents)]
    recordings = [one for one in sources if isinstance(one, Recording)]
    by_form: dict[str, list[Path]] = {}
    for one in sources:
        if isinstance(one, (str, PathLike)):
            path = Path(one).expanduser()
            by_form.setdefault(form or forms.form_of(path), []).append(path)
    recordings += [open_recording(path) for path in by_form.pop(forms.RECORDING, [])]
    parts += [_recorded(one, trading_pair, exchange, (start, end), correct=correct_clock) for one in recordings]
    read = [_load(found, paths, trading_pair, exchange, options) for found, paths in by_form.items()]
    parts += map(corrected, read) if correct_clock else read
    for part in parts:
        _check(part, trading_pair)
    events = merged(parts)
    if start is not None or end is not None:
        events = events.between(-math.inf if start is None else start, math.inf if end is None else end)
    if not len(events):
        raise InvalidInput(f"no events of {events.trading_pair} are left between start={start} and end={end}")
    return events


def _load(
    form: str, paths: list[Path], trading_pair: str | None, exchange: str | None, options: dict[str, Any]
) -> MarketEvents:
    if trading_pair is None:
        raise InvalidInput(f"{paths[0].name} does not tell its pair; pass trading_pair='BTC/USDT' or whatever it is")
    importers: dict[str, Callable[..., MarketEvents]] = {
        forms.RAW: import_raw,
        forms.BINANCE_CSV: import_binance_csv,
        forms.TARDIS: import_tardis,
        forms.HFTBACKTEST: import_hftbacktest,
    }
    name = exchange if form == forms.TARDIS else exchange or "binance"
    return importers[form](paths, trading_pair=trading_pair, exchange=name, **options)


def _recorded(
    recording: Recording,
    trading_pair: str | None,
    exchange: str | None,
    span: tuple[float | None, float | None],
    *,
    correct: bool,
) -> MarketEvents:
    markets = [
        (name, pair)
        for name, pair in recording.markets
        if exchange in (None, name) and trading_pair in (None, pair, pair.replace("/", "-"))
    ]
    if len(markets) != 1:
        held = ", ".join(f"{pair} of {name}" for name, pair in recording.markets)
        raise InvalidInput(
            f"{recording.path.name} holds {held or 'nothing'}; name one market by trading_pair= and exchange="
        )
    name, pair = markets[0]
    read = recording.corrected_events if correct else recording.events
    return read(pair, name, *span)


def _check(events: MarketEvents, trading_pair: str | None) -> None:
    if trading_pair not in (None, events.trading_pair, events.trading_pair.replace("/", "-")):
        raise InvalidInput(f"the events are those of {events.trading_pair}, not of {trading_pair}")
    falls = np.flatnonzero(np.diff(events.local_ts) < 0)
    if len(falls):
        raise InvalidInput(
            f"the events of {events.trading_pair} are not in order of local time: row {int(falls[0]) + 1} goes back, "
            f"and {len(falls)} rows in all; kit.check(events) tells more"
        )
