"""The loop of another program as a generator: its thread and ours take turns."""

from __future__ import annotations

import threading

import pytest
import torch
from adbench_plugins.anomalib_bridge.hand_over import HandOver, StoppedError


def counting(log: list[str], up_to: int):
    """Work that reports the numbers from 1 and writes what it does to a log."""

    def work(line: HandOver[int]) -> None:
        for number in range(1, up_to + 1):
            log.append(f"works on {number}")
            line.report(number)
        log.append("ends")

    return work


def test_the_work_waits_until_the_next_report_is_asked_for():
    """Nothing of the next number is done before, and the end of the work is awaited."""
    log: list[str] = []
    reports = iter(HandOver(counting(log, 3)))
    for number in (1, 2, 3):
        assert next(reports) == number
        assert log == [f"works on {each}" for each in range(1, number + 1)]
    assert list(reports) == []
    assert log[-1] == "ends"


def test_an_error_of_the_work_is_raised_here():
    """Also one that is no ``Exception``, and after the reports before it."""

    def work(line: HandOver[int]) -> None:
        line.report(1)
        raise SystemExit(3)

    reports = iter(HandOver(work))
    assert next(reports) == 1
    with pytest.raises(SystemExit):
        next(reports)


def test_closing_ends_the_thread():
    """The work is stopped where it reports, and its thread is gone."""
    seen: list[BaseException] = []

    def work(line: HandOver[int]) -> None:
        try:
            line.report(1)
        except StoppedError as error:
            seen.append(error)
            raise

    before = threading.active_count()
    reports = iter(HandOver(work))
    assert next(reports) == 1
    reports.close()
    assert len(seen) == 1
    assert threading.active_count() == before


def test_work_that_reports_rarely_can_look_whether_it_is_still_wanted():
    """``check`` raises only after the end."""
    line = HandOver(lambda line: line.check())
    assert list(line) == []
    with pytest.raises(StoppedError):
        line.check()


def test_the_thread_works_with_our_number_of_threads():
    """Torch's number of threads belongs to each thread by itself, and may change between two reports."""
    found: list[int] = []

    def work(line: HandOver[None]) -> None:
        for _ in range(2):
            found.append(torch.get_num_threads())
            line.report(None)

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        for _ in HandOver(work):
            torch.set_num_threads(2)
    finally:
        torch.set_num_threads(before)
    assert found == [1, 2]
