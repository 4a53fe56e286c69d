"""Cells that can be read in two ways, and rows that look like no rows."""

from pathlib import Path

import numpy as np
import pytest

from chainrule.data import Preprocessor, open_table
from chainrule.data.columns import codes_of
from chainrule.errors import DataError


def _read(tmp_path: Path, text: str, **options: object) -> tuple[dict[str, np.ndarray], list[str]]:
    path = tmp_path / "t.csv"
    path.write_text(text)
    source = open_table(path, **options)
    return source.table().columns, source.notes_of(set(source.columns))


def test_a_group_of_thousands_does_not_begin_with_zero(tmp_path: Path) -> None:
    columns, notes = _read(tmp_path, "a;b\n0,341;x\n-0,726;y\n12,500;x\n")
    assert columns["a"].tolist() == [0.341, -0.726, 12.5]
    assert notes == ["'a': read as numbers with decimal comma"]


def test_points_between_thousands_beside_decimal_commas(tmp_path: Path) -> None:
    columns, _ = _read(tmp_path, "price;count\n1,25;5.713\n2,50;950\n3,75;1.200.000\n")
    assert columns["count"].tolist() == [5713, 950, 1_200_000]


def test_thousands_that_nothing_tells_from_decimals_are_noted(tmp_path: Path) -> None:
    columns, notes = _read(tmp_path, "a,b\n5.713,1\n950,2\n1.200,3\n")
    assert columns["a"].tolist() == [5.713, 950, 1.2]
    assert any("'a': numbers have three digits behind the point, or no" in n for n in notes)
    columns, _ = _read(tmp_path, "a,b\n5.713,1\n950,2\n1.200,3\n", thousands=".")
    assert columns["a"].tolist() == [5713, 950, 1200]
    assert not _read(tmp_path, "a,b\n5.713,1\n0.950,2\n1,3\n")[1]


def test_numbers_with_underscores_are_names(tmp_path: Path) -> None:
    columns, _ = _read(tmp_path, "a,b\n1_2,1\n3_4,2\n")
    assert columns["a"].tolist() == ["1_2", "3_4"]


def test_names_that_read_like_a_number_are_not_its_category() -> None:
    words = np.array(["1", "1.0", "+1", "1e0", "01", "1%", "$1", "(1)", None], object)
    assert codes_of(words, ["1", "2"]).tolist() == [0, 0, 0, 0, -1, -1, -1, -1, -2]


def test_a_single_cell_without_a_value_is_a_row(tmp_path: Path) -> None:
    columns, _ = _read(tmp_path, 'a\n1.5\n""\n2.5\n\n" "\n')
    np.testing.assert_array_equal(columns["a"], [1.5, np.nan, 2.5, np.nan])


DAYS = "\n".join(f"{20200101 + i},{i}.5" for i in range(9))
YEARS = "\n".join(f"{2000 + i},{i}.5" for i in range(9))


@pytest.mark.parametrize("dates", ["day", "day:ymd", "day:number"])
def test_days_in_eight_digits_are_read_again(tmp_path: Path, dates: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text("day,y\n" + DAYS)
    source = open_table(path, dates=[dates])
    p = Preprocessor.fit(source, "y")
    assert p.feature_names[0] == "day: days since 2020-01-01"
    again = Preprocessor.from_json(p.to_json())
    np.testing.assert_array_equal(again.features(path), p.features(source))


@pytest.mark.parametrize(
    ("rows", "dates", "text"),
    [
        (YEARS, "day", "is 2000 in line 2, which is no YYYYMMDD; if it is seconds since 1970"),
        (YEARS, "day:ymd", "is 2000 in line 2, which is no YYYYMMDD"),
        (DAYS, "day:dmy", "is to be read as dates, day.month.year, and holds plain numbers"),
        (YEARS, "day:time", "is to be read as times of the day, and holds plain numbers"),
    ],
)
def test_numbers_that_are_no_such_dates_are_refused(
    tmp_path: Path, rows: str, dates: str, text: str
) -> None:
    with pytest.raises(DataError, match=text):
        _read(tmp_path, "day,y\n" + rows, dates=[dates])
