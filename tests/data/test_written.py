"""Numbers and dates as people write them: what a file says is what a DataFrame says."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import re
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest

from chainrule.data import Preprocessor, open_table, read_table, source_of, table_of
from chainrule.data.moments import DateColumn
from chainrule.data.understood import reading_of
from chainrule.data.written import NUMBERS, Kind, moment_of, number_of
from chainrule.errors import DataError, MissingExtraError, OptionError
from chainrule.estimators import TableModel

N = 40
VALUES = np.array([(-1) ** i * (i * 7919 % 100_000) / 4 for i in range(N)])


def grouped(value: float, decimal: str, thousands: str) -> str:
    text = f"{value:,.2f}"
    return text.replace(",", "\0").replace(".", decimal).replace("\0", thousands)


@pytest.mark.parametrize("kind", NUMBERS[1:], ids=lambda k: f"{k.decimal}{k.thousands}")
@pytest.mark.parametrize("around", ["{}", "{} €", "$ {}", "EUR {}", "{}%", "{} %"])
def test_every_way_of_writing_gives_the_numbers(tmp_path, kind, around):
    words = [around.format(grouped(v, kind.decimal, kind.thousands)) for v in VALUES]
    path = tmp_path / "t.csv"
    pl.DataFrame({"x": words, "z": words}).write_csv(path, separator=";")
    for data in (path, {"x": words}, pl.DataFrame({"x": words})):
        source = source_of(data)
        np.testing.assert_array_equal(source.table().columns["x"], VALUES)
        (note,) = source.notes_of(["x"])
        assert note.startswith("'x': read as numbers with ")
        assert ("decimal comma" in note) == (kind.decimal == ",")
        assert ("percent signs" in note) == ("%" in around)


def test_signs_of_numbers():
    assert number_of("(1,234.5)", Kind("number", ".", ",")) == -1234.5
    assert [number_of(w) for w in ("\u22125", "- 5", "5-", "+5", "1e3")] == [-5, -5, -5, 5, 1000]
    for word in ("5 apples", "1.2.3", "12:30", "(5", "5)", "--5", "", "a", "1,2", "555-1234"):
        assert number_of(word) is None, word
    assert number_of("12,34,567", Kind("number", ".", ",")) == 1234567  # India
    assert number_of("1,23", Kind("number", ".", ",")) is None


def test_a_column_that_is_mostly_numbers_is_numbers(tmp_path):
    words = [str(i) for i in range(20)]
    words[3], words[9], words[15] = "-", "about 9", "unknown"
    path = tmp_path / "t.csv"
    path.write_text("x\n" + "\n".join(words) + "\n")
    for data in (path, str(path), {"x": words}, pd.DataFrame({"x": words})):
        source = source_of(data)
        values = source.table().columns["x"]
        assert np.flatnonzero(np.isnan(values)).tolist() == [3, 9, 15]
        assert source.notes_of(["x"]) == [
            "'x': read as numbers; 3 of 20 cells are not understood ('-', 'about 9', 'unknown'): "
            "missing"
        ]


def test_too_few_numbers_stay_words_with_a_note():
    source = source_of({"x": ["1", "2", "3", "4", "low", "high"] * 3})
    assert source.kinds["x"].name == "words"
    assert source.notes_of(["x"]) == [
        "'x': 67% of the cells are numbers or dates, too few: read as words"
    ]


def test_texts_of_digits_in_a_frame_are_names(tmp_path):
    words = ["01", "02", "10", "11"] * 3
    assert table_of({"zip": words}).columns["zip"].tolist() == words
    path = tmp_path / "t.csv"
    pl.DataFrame({"zip": words}).write_csv(path)
    assert read_table(path).is_number("zip")
    assert read_table(path, text=["zip"]).columns["zip"].tolist() == words
    assert read_table(path, categorical=["zip"]).columns["zip"].tolist() == words


def test_one_column_decides_for_another(tmp_path):
    """1.234 alone is 1.234; beside 2,5 it is 1234."""
    path = tmp_path / "t.csv"
    path.write_text("a;b\n1.234;2,5\n5.678;3,25\n")
    assert read_table(path).columns["a"].tolist() == [1234, 5678]
    path.write_text("a;b\n1.234;2.5\n5.678;3.25\n")
    assert read_table(path).columns["a"].tolist() == [1.234, 5.678]
    assert read_table(path, thousands=".").columns["a"].tolist() == [1234, 5678]
    path.write_text("a;b\n1,234;2\n5,678;3\n")
    assert read_table(path).columns["a"].tolist() == [1234, 5678]
    assert read_table(path, decimal=",").columns["a"].tolist() == [1.234, 5.678]


def test_a_model_reads_as_it_was_taught(tmp_path):
    train = tmp_path / "t.csv"
    train.write_text("a;y\n" + "".join(f"{i}.000,5;{'pq'[i % 2]}\n" for i in range(1, 30)))
    p = Preprocessor.fit(train, "y")
    p = Preprocessor.from_json(p.to_json())
    new = tmp_path / "new.csv"
    new.write_text("a\n7.000\n")
    (x,) = p.features(new)
    (want,) = p.features({"a": [7000.0]})
    assert x == want
    new.write_text("a\n7000.25\n")  # another way that cannot be meant as taught
    assert p.features(new) == p.features({"a": [7000.25]})


def test_more_words_that_mean_missing(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,w,y\n" + "".join(f"{i},{'ab'[i % 2]},{i % 3}.5\n" for i in range(20)))
    text = path.read_text().replace("3,b,", "999,nix,")
    path.write_text(text)
    table = read_table(path, missing=["999", "nix"], categorical=["a"])
    assert table.columns["w"][3] is None and table.columns["a"][3] is None
    model = TableModel.fit(path, "y", missing=["nix"], training={"epochs": 1})
    assert model.preprocessor.missing == ("nix",)
    assert model.preprocessor.features({"a": [1.0], "w": ["nix"]})[0].tolist()[-1] == 1


@pytest.mark.parametrize("words", [["None", "Mild", "Severe"], ["NA", "EU", "AS"]])
def test_classes_that_look_missing_stay_classes(tmp_path, words):
    rng = np.random.default_rng(0)
    x = rng.normal(size=60)
    y = np.array(words, object)[(x > -0.5).astype(int) + (x > 0.5)]
    path = tmp_path / "t.csv"
    path.write_text("x,y\n" + "".join(f'{a:.4f},"{c}"\n' for a, c in zip(x, y, strict=True)))
    for data in (path, pl.DataFrame({"x": x, "y": y})):
        model = TableModel.fit(data, "y", hidden=(4,), training={"epochs": 1})
        assert model.preprocessor.classes == sorted(words)
        count = int((y == words[0]).sum())
        assert (
            f"'y' has the class {words[0]!r} in {count} rows; if it means that there is none, add "
            f"it to missing ({words[0]})"
        ) in model.notes
        assert model.evaluate(data).keys() == model.metrics.keys()
    model = TableModel.fit(path, "y", missing=[words[0]], hidden=(4,), training={"epochs": 1})
    assert model.preprocessor.classes == sorted(words[1:])


# -- dates -----------------------------------------------------------------------------------------
MOMENTS = [dt.datetime(2020, 1, 5) + dt.timedelta(days=17 * i, hours=5 * i) for i in range(N)]
FORMATS = {
    "ymd": ["%Y-%m-%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %I:%M %p"],
    "dmy": ["%d.%m.%Y %H:%M", "%d/%m/%Y %H:%M", "%d.%m.%y %H:%M", "%d-%m-%Y %H:%M"],
    "mdy": ["%m/%d/%Y %H:%M", "%m/%d/%y %I:%M %p"],
}


@pytest.mark.parametrize(("order", "form"), [(o, f) for o, fs in FORMATS.items() for f in fs])
def test_every_form_of_dates_gives_the_dates(tmp_path, order, form):
    words = [m.strftime(form) for m in MOMENTS]
    path = tmp_path / "t.csv"
    pl.DataFrame({"when": words}).write_csv(path)
    for data in (path, {"when": words}, pd.DataFrame({"when": words})):
        source = source_of(data)
        assert source.kinds["when"] == Kind("dates", order=order)
        assert source.table().columns["when"].tolist() == MOMENTS


@pytest.mark.parametrize("form", ["%d %b %Y", "%B %d, %Y", "%d-%b-%y", "%a, %d %b %Y"])
def test_names_of_months(form):
    day = dt.datetime(2021, 5, 9)
    assert moment_of(day.strftime(form), "dmy") == (day - dt.datetime(1970, 1, 1)) // dt.timedelta(
        microseconds=1
    )
    assert moment_of("9. März 2021", "dmy") == moment_of("2021-03-09", "ymd")


def test_what_is_no_date():
    for word in (
        "31.02.2020",
        "1.13.2020",
        "2020-00-10",
        "5",
        "25:00",
        "1.2.3.4",
        "May",
        "12/2020/1",
    ):
        assert all(moment_of(word, o) is None for o in ("ymd", "dmy", "mdy", "time")), word


def test_a_doubtful_order_is_said_and_can_be_overruled(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("when,x\n" + "".join(f"0{i}/03/2020,{i}\n" for i in range(1, 9)))
    source = open_table(path)
    assert source.kinds["when"].order == "mdy"
    assert source.notes_of(["when"]) == [
        "'when': read as dates, month/day/year (day/month/year would fit as well; say which by "
        "dates: COLUMN:dmy or :mdy)"
    ]
    table = read_table(path, dates="when:dmy")
    assert table.columns["when"][1] == np.datetime64("2020-03-02")
    path.write_text(path.read_text() + "13/03/2020,9\n")
    assert open_table(path).kinds["when"].order == "dmy"


def test_frames_of_every_type_of_date_are_the_same():
    frame = pl.DataFrame({"d": MOMENTS})
    zone = frame["d"].dt.replace_time_zone("Europe/Berlin")
    for data in (
        frame,
        pl.DataFrame({"d": zone}),
        pd.DataFrame({"d": MOMENTS}),
        pd.DataFrame({"d": pd.Series(MOMENTS, dtype=object)}),
        {"d": np.array(MOMENTS, "datetime64[s]")},
        {"d": MOMENTS},
        {"d": [m.isoformat() for m in MOMENTS]},
    ):
        assert table_of(data).columns["d"].tolist() == MOMENTS
    days = [m.date() for m in MOMENTS]
    for data in (pl.DataFrame({"d": days}), {"d": days}, pd.DataFrame({"d": days})):
        found = table_of(data).columns["d"].astype("datetime64[D]").tolist()
        assert found == days
    spans = table_of(pl.DataFrame({"d": [dt.timedelta(seconds=90), None]})).columns["d"]
    np.testing.assert_array_equal(spans, [90, np.nan])
    times = table_of(pl.DataFrame({"d": [dt.time(6), None]})).columns["d"]
    assert times[0] == np.datetime64("1970-01-01T06:00") and np.isnat(times[1])


def test_inputs_of_a_date():
    words = ["2020-01-06 06:00", "2021-07-14 18:00", "", "2020-03-01 00:00"]
    table = {"when": words, "y": ["a", "b", "a", "b"]}
    p = Preprocessor.fit(table, "y", reading=None)
    (column,) = p.columns
    assert isinstance(column, DateColumn)
    assert p.feature_names == [
        "when: days since 2020-01-06",
        "when: year",
        *(
            f"when: {f}{part}"
            for part in ("month", "day", "weekday", "hour")
            for f in ("", "sin ", "cos ")
        ),
        "when is missing",
    ]
    x = p.features(table)
    np.testing.assert_allclose(x[[0, 1, 3], 0].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(x[[0, 1, 3], 0].std(), 1, rtol=1e-6)
    np.testing.assert_allclose(x[1, 2:5], [0, 0, -1], atol=1e-6)  # July: half a year
    np.testing.assert_allclose(x[0, 8:11], [-1, 0, 1], atol=1e-6)  # a Monday
    np.testing.assert_allclose(x[0, 11:14], [-0.5, 1, 0], atol=1e-6)  # a quarter of the day
    assert x[2].tolist() == [0] * 14 + [1]
    assert Preprocessor.from_json(p.to_json()) == p


def test_numbers_that_are_dates():
    for numbers in ([20200131, 20200201], [1580428800, 1580515200], [1580428800e3, 1580515200e3]):
        found = source_of({"t": np.array(numbers, float)})
        table = found.read_as(reading_of(dates="t")).table()
        assert table.columns["t"].tolist() == [dt.datetime(2020, 1, 31), dt.datetime(2020, 2, 1)]


def test_dates_are_no_target_and_numbers_no_dates():
    table = {"d": np.array(["2020-01-01", "2020-01-02"], "datetime64[D]"), "x": [1.0, 2.0]}
    with pytest.raises(DataError) as caught:
        Preprocessor.fit(table, "d")
    assert str(caught.value) == (
        "the table: the target 'd' holds dates; predict a number, such as the days until then, or "
        "its words (text)"
    )
    p = Preprocessor.fit({**table, "y": ["a", "b"]}, "y")
    with pytest.raises(DataError) as caught:
        p.features({"d": [1.5], "x": [1.0]})
    assert str(caught.value) == (
        "the table: column 'd' is 1.5 in row 1; a date is expected, as in training"
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"decimal": ";"}, "decimal is '.' or ',', got ';'"),
        ({"thousands": "x"}, "thousands is ',', '.', ' ', \"'\" or '' (none), got 'x'"),
        (
            {"decimal": ",", "thousands": ","},
            "decimal and thousands are both ','; they must differ",
        ),
        (
            {"encoding": "klingon"},
            "encoding 'klingon' is unknown; known are utf-8, utf-16, latin-1, cp1252, ...",
        ),
        (
            {"dates": {"x": "ydm"}},
            "dates: 'x' is to be read as 'ydm'; known are ymd, dmy, mdy, time, number",
        ),
        ({"dates": "x", "text": "x"}, "column 'x' is to be read as dates and as words; choose one"),
    ],
)
def test_odd_options(tmp_path, options, text):
    path = tmp_path / "t.csv"
    path.write_text("x\n1\n")
    with pytest.raises(OptionError) as caught:
        open_table(path, **options)
    assert str(caught.value) == text


def test_unknown_names_get_the_nearest(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("size,rent\n1,2\n")
    for action in (
        lambda: open_table(path, dates="Rent").kinds,
        lambda: TableModel.fit(path, "Rent"),
        lambda: TableModel.fit(path, "size", drop=["rnt"]),
    ):
        with pytest.raises(DataError, match="did you mean 'rent'\\?$"):
            action()


# -- files -----------------------------------------------------------------------------------------
TEXT = "größe,w\n1.5,süß\n2,b\n"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"]
)
@pytest.mark.parametrize("packed", [False, True])
def test_encodings_are_found(tmp_path, encoding, packed):
    path = tmp_path / ("t.csv.gz" if packed else "t.csv")
    content = TEXT.encode(encoding)
    path.write_bytes(gzip.compress(content) if packed else content)
    source = open_table(path)
    assert source.columns == ["größe", "w"]
    assert source.table().columns["w"].tolist() == ["süß", "b"]
    assert len(source.first_notes) == (encoding == "latin-1")


def test_an_encoding_may_be_given(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("a,b\nж,1\n".encode("cp1251"))
    assert read_table(path, encoding="cp1251").columns["a"].tolist() == ["ж"]
    with pytest.raises(DataError, match="line 2: not UTF-8 text"):
        read_table(path, encoding="utf-8")


def test_the_name_says_gzip_and_the_file_does_not(tmp_path):
    for name, content, said in (
        ("t.csv", gzip.compress(TEXT.encode()), "is packed by gzip, though not named .gz"),
        ("t.csv.gz", TEXT.encode(), "is not packed"),
    ):
        (tmp_path / name).write_bytes(content)
        source = open_table(tmp_path / name)
        assert source.rows == 2 and said in source.first_notes[0]


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "sep=;\r"])
def test_the_line_by_which_excel_knows_the_separator(tmp_path, first):
    path = tmp_path / "t.csv"
    path.write_bytes(f"{first}\na;b\n1,5;x\n2,5;y\n".encode())
    table = read_table(path)
    assert table.columns["a"].tolist() == [1.5, 2.5] and table.columns["b"].tolist() == ["x", "y"]
    assert read_table(path, header=False).rows == 3


def test_columns_without_a_name(tmp_path):
    path = tmp_path / "t.csv"
    pd.DataFrame({"x": np.arange(9.0) / 7, "y": ["a", "b", "c"] * 3}).to_csv(path)
    model = TableModel.fit(path, "y", training={"epochs": 1})
    assert [c.name for c in model.preprocessor.columns] == ["x"]
    assert "column 1 has no name and numbers the rows: left out" in model.notes
    path.write_text("a,y,\n" + "".join(f"{i},{i % 2},\n" for i in range(9)))
    model = TableModel.fit(path, "y", training={"epochs": 1})
    assert [c.name for c in model.preprocessor.columns] == ["a"]
    path.write_text(",y\n" + "".join(f"{i * i},{i % 2}\n" for i in range(9)))
    model = TableModel.fit(path, "y", training={"epochs": 1})
    assert [c.name for c in model.preprocessor.columns] == ["column_1"]
    assert "column 1 has no name: it is called 'column_1' here" in model.notes


def test_standard_input(monkeypatch):
    class Input:
        buffer = io.BytesIO(TEXT.encode())

    monkeypatch.setattr(sys, "stdin", Input)
    source = open_table("-")
    assert source.name == "standard input"
    assert source.table().columns["größe"].tolist() == source.table().columns["größe"].tolist()


def test_a_workbook_needs_its_extra(tmp_path, monkeypatch):
    path = tmp_path / "t.xlsx"
    path.write_bytes(b"PK\x03\x04")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError) as caught:
        open_table(path)
    assert str(caught.value) == (
        "reading t.xlsx needs fastexcel: pip install 'chainrule[excel]' (or save the sheet as .csv)"
    )


def test_a_workbook_is_read_as_the_same_table_in_a_csv_file(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    pytest.importorskip("fastexcel")
    rng = np.random.default_rng(0)
    header = ["height", "seen", "colour", "price", "member", "y"]
    rows = [
        [
            round(float(h), 3) if i % 9 else None,
            dt.datetime(2024, 1, 1) + dt.timedelta(days=i),
            str(rng.choice(["red", "green", "blue"])),
            f"{h:.2f} €".replace(".", ",") if i % 5 else "n/a",
            bool(i % 2),
            "tall" if h > 170 else "small",
        ]
        for i, h in enumerate(rng.normal(170, 10, 60))
    ]
    book = openpyxl.Workbook()
    for row in [header, *rows]:
        book.active.append(row)
    book.create_sheet("another").append(["unseen"])
    book.save(tmp_path / "t.xlsx")
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    by_excel, by_csv = (Preprocessor.fit(tmp_path / name, "y") for name in ("t.xlsx", "t.csv"))
    assert by_excel.feature_names == by_csv.feature_names
    x = by_excel.features(tmp_path / "t.xlsx")
    assert len(x) == 60 and np.isfinite(x).all()
    assert np.allclose(x, by_csv.features(tmp_path / "t.csv"), atol=1e-6)
    assert np.allclose(x, by_csv.features(tmp_path / "t.xlsx"), atol=1e-6)
    targets = [p.targets(tmp_path / "t.xlsx") for p in (by_excel, by_csv)]
    assert np.array_equal(*targets)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04 nothing", "not a workbook that can be read (calamine error"),
        (b"a,b\n1,2\n", "not a workbook that can be read (calamine error"),
        (b"", "the file is empty"),
    ],
)
def test_what_is_no_workbook_is_refused(content, said, tmp_path):
    pytest.importorskip("fastexcel")
    (tmp_path / "t.xlsx").write_bytes(content)
    with pytest.raises(DataError, match=re.escape(said)):
        open_table(tmp_path / "t.xlsx")


def test_lines_are_those_of_the_file(tmp_path):
    """Blank lines and values over several lines count as an editor counts them."""
    path = tmp_path / "t.csv"
    for text, line in (("a,y\n\n1,p\n\ninf,q\n", 5), ('a,y\n1,"p\nq"\ninf,q\n', 4)):
        path.write_text(text)
        with pytest.raises(DataError, match=f"column 'a' is infinite in line {line};"):
            Preprocessor.fit(path, "y")
    with pytest.raises(DataError, match="column 'a' is infinite in row 2;"):
        Preprocessor.fit({"a": [1.0, np.inf], "y": ["p", "q"]}, "y")
