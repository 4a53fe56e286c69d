"""Small sequences to be told apart (UCR and UEA archives), and series to be continued."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..core.node import Array
from ..errors import OptionError
from .known_files import KnownSet, files_of
from .sequences import Sequences, read_ts

SEQUENCES = ("BasicMotions", "JapaneseVowels", "ItalyPowerDemand", "GunPoint")
SERIES = {
    "airline": "monthly-airline-passengers.csv",
    "sunspots": "monthly-sunspots.csv",
    "temperatures": "daily-min-temperatures.csv",
}
_SEQUENCE_FILES = """
BasicMotions_TRAIN.ts.gz 227790 8dc43cc6306cb679c888c01e26f91772ac4441a916da43bac8b79734a538b9d6
BasicMotions_TEST.ts.gz 227713 79213102bc6fca1a398ad98ce1185dff0208fa3d1465e687f48288946b0ff8dc
JapaneseVowels_TRAIN.ts.gz 487971 68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd
JapaneseVowels_TEST.ts.gz 649132 b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462
ItalyPowerDemand_TRAIN.ts.gz 18300 341269cb7e6cef96846b30e774580beec79addb93848ba360145219115a74b7c
ItalyPowerDemand_TEST.ts.gz 274054 26122451f87dd0387ef90b18bc8a86c041371b8a1c068004922b939971247144
GunPoint_TRAIN.ts.gz 84188 f842401779fd9800d247d8b33121a1a4643710a19b24917dbdd9a060ca8630d5
GunPoint_TEST.ts.gz 252305 79332750788a6227b325b96bd0d70130c8eb707b9731f8d7dec62b7a7d36017e
"""
_SEQUENCES = KnownSet(
    "sequences of the UCR and UEA archives",
    ("sequence_classification",),
    files_of(_SEQUENCE_FILES, inner=True),
    "https://github.com/aeon-toolkit/aeon, aeon/datasets/data",
    "data of the UCR and UEA archives, for research",
)
_SERIES_FILES = """
monthly-airline-passengers.csv 2180 8cb51be753a718d9be5d76d7e238cc224792754676adc21faa59e954b0201621
monthly-sunspots.csv 45039 c4ec8cc57d9f6fb6ecdb3e1f37f25b6f4badd5124c55931052b0cd2fc3bc71f3
daily-min-temperatures.csv 67921 8b9de63ed6789492bf497625e7f9beb96a63d367b4b0a21754006f749fa5e5da
"""
_SERIES = KnownSet(
    "small time series",
    ("timeseries",),
    files_of(_SERIES_FILES),
    "https://github.com/jbrownlee/Datasets",
    "public collections of time series",
)


def load_ucr(name: str, folder: str | Path | None = None) -> tuple[Sequences, Sequences]:
    """Sequences for training and for testing, with their classes.

    "BasicMotions": 40 and 40 of a smart watch (100 steps of 0.1 s, 6 channels, 4 classes);
    "JapaneseVowels": 270 and 370 utterances (7 to 29 steps of 12 coefficients, 9 speakers);
    "ItalyPowerDemand": 67 and 1,029 (24 hours, 2 classes); "GunPoint": 50 and 150 (150 steps, 2
    classes). `load_mnist` says where the files ``NAME_TRAIN.ts.gz`` and ``NAME_TEST.ts.gz`` are
    looked for. Raises DataError that says what to fetch where one is missing or damaged.

    >>> from chainrule.data import load_ucr
    >>> train, test = load_ucr("JapaneseVowels")  # doctest: +SKIP
    >>> len(train), len(test), train.x[0].shape  # doctest: +SKIP
    (270, 370, (20, 12))
    """
    if name not in SEQUENCES:
        raise OptionError(f"load_ucr: there are {', '.join(SEQUENCES)}, not {name!r}")
    files = {file.name: file for file in _SEQUENCES.files}
    parts = []
    for part in ("TRAIN", "TEST"):
        file = files[f"{name}_{part}.ts.gz"]
        _SEQUENCES.read(file, folder, False)  # its checksum
        parts.append(read_ts(_SEQUENCES.find(file, folder, False)))
    return parts[0], parts[1]


def load_series(name: str, folder: str | Path | None = None) -> tuple[list[str], Array]:
    """Dates and values, float64 (T,), of a series.

    "airline": 144 months of passengers, in thousands, from 1949; "sunspots": 2,820 months, the
    mean number of a day, from 1749; "temperatures": 3,650 days, the lowest in Melbourne in °C, from
    1981. `load_mnist` says where the files are looked for. Raises DataError that says what to fetch
    where one is missing or damaged.

    >>> from chainrule.data import load_series
    >>> months, passengers = load_series("airline")  # doctest: +SKIP
    >>> months[0], passengers[0]  # doctest: +SKIP
    ('1949-01', np.float64(112.0))
    """
    if name not in SERIES:
        raise OptionError(f"load_series: there are {', '.join(SERIES)}, not {name!r}")
    [file] = [file for file in _SERIES.files if file.name == SERIES[name]]
    lines = _SERIES.read(file, folder, False).decode().splitlines()[1:]
    dates, values = zip(*(line.split(",") for line in lines if line), strict=True)
    return [date.strip('"') for date in dates], np.array(values, np.float64)
