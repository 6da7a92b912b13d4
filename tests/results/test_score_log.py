"""Logs of scores: what is written is read, by many processes at once, and errors name the line."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adbench import UsageError
from adbench.results import score_log
from adbench.results.score_log import LoggedScore

LINE = (
    '{"time": "2024-05-01T12:00:00+00:00", "path": "a.png", "class": "bolts", "score": 1.5, "threshold": 2, '
    '"defective": false, "run": "cpu-seed0-1a2b3c4d"}'
)

ONE = LoggedScore("2024-05-01T12:00:00+00:00", "a.png", "bolts", 1.5, 2.0, False, "cpu-seed0-1a2b3c4d")

numbers = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(st.characters(exclude_categories=["Cs"]))


@settings(max_examples=60)
@given(st.builds(LoggedScore, st.just(ONE.time), names, names, numbers, st.none() | numbers,
                 st.none() | st.booleans(), names))  # fmt: skip
def test_a_record_comes_back_from_its_line(record):
    """Every score keeps its last bit and every name its letters, in one line."""
    line = record.to_line()
    assert line.count("\n") == 1
    assert LoggedScore.from_line(line) == record


def test_the_documented_line_is_read(tmp_path):
    """The format is that of the docs; a time may end in Z, and further fields are ignored."""
    path = tmp_path / "scores.jsonl"
    other = LINE.replace("+00:00", "Z").replace('"run"', '"more": [1], "run"')
    path.write_text(f"{LINE}\n\n{other}")
    first, second = score_log.read(path)
    assert first == ONE
    assert second.time == "2024-05-01T12:00:00Z"


def test_records_are_added_at_the_end(tmp_path):
    """A second call keeps what the first wrote, and a line that a killed writer left without its end gets one."""
    path = tmp_path / "scores.jsonl"
    score_log.append(path, [ONE, ONE])
    with path.open("ab") as stream:
        stream.write(b"   ")
    score_log.append(path, [ONE])
    assert score_log.read(path) == [ONE] * 3


def test_several_writers_append_whole_lines(tmp_path):
    """Three writers at once, each with a file of its own, lose no line; the lines of each call stay together."""

    def write(name: str) -> None:
        for number in range(40):
            record = LoggedScore(ONE.time, f"{name}{number}" * 40, name, 0.5, None, None, "r")
            score_log.append(tmp_path / "log", [record] * 3)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write, "abc"))
    found = [record.path for record in score_log.read(tmp_path / "log")]
    assert len(found) == 3 * 3 * 40
    assert found[::3] == found[1::3] == found[2::3]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: found no JSON"),
        ("[1]", "line 2: found no JSON object"),
        (LINE.replace('"score"', '"scores"'), "line 2: found no 'score'"),
        (LINE.replace("1.5", "NaN"), "'score' nan, no finite number"),
        (LINE.replace("1.5", "true"), "'score' True, no finite number"),
        (LINE.replace("false", "0"), "'defective' 0, no true, false or null"),
        (LINE.replace("2024-05-01T12", "noon"), "no time in ISO 8601"),
        (LINE.replace('"bolts"', "null"), "'class' None, no text"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, message):
    """The error says which line of which file is wrong, and how."""
    path = tmp_path / "log"
    path.write_text(f"{LINE}\n{line}\n")
    with pytest.raises(UsageError) as caught:
        score_log.read(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_what_cannot_be_read_or_written_is_a_mistake(tmp_path):
    """A missing log says what writes one, a missing folder that it can't be written; a NaN writes nothing."""
    with pytest.raises(UsageError, match="no such file"):
        score_log.read(tmp_path / "log")
    with pytest.raises(UsageError, match="can't be written"):
        score_log.append(tmp_path / "none" / "log", [ONE])
    with pytest.raises(ValueError, match="JSON"):
        score_log.append(tmp_path / "log", [ONE, LoggedScore(ONE.time, "", "", float("nan"), None, None, "")])
    assert not (tmp_path / "log").exists()


def test_a_number_of_hundreds_of_digits_is_no_score(tmp_path):
    """JSON has such numbers, and floats have not."""
    path = tmp_path / "scores.jsonl"
    path.write_text(LINE.replace("1.5", "1" + "0" * 400))
    with pytest.raises(UsageError, match="line 1: found 'score' a whole number of 1329 bits, no finite number"):
        score_log.read(path)


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\0\xff", b"notes\n", b"{}", b"\0" * 70_000, b" " * 70_000])
def test_nothing_is_added_to_another_file(tmp_path, content):
    """An image that was given as the log by mistake stays as it is, byte by byte."""
    path = tmp_path / "victim.png"
    path.write_bytes(content)
    for records in ([], [ONE]):
        with pytest.raises(UsageError, match=r"another file: its last line is no record"):
            score_log.append(path, records)
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"path,score\na.png,1\n", b"\xff\xd8\xff\xe0\0\x10JFIF", b"verdict  score\n"])
def test_a_table_or_an_image_is_no_log(tmp_path, content):
    """The message says what writes a log, and nothing about JSON."""
    path = tmp_path / "scores.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"found another kind of file, .*predict RUN IMAGES --log") as caught:
        score_log.read(path)
    assert "JSON" not in str(caught.value)
