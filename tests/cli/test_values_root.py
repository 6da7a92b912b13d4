"""The folder of a data set that comes as an installed package."""

from __future__ import annotations

import pytest
from adbench_datasets import elpv
from published_files import elpv as make

from adbench.cli import values
from adbench.run import check_dataset
from adbench.util.errors import DataError


def test_an_installed_package_is_read_without_a_root(tmp_path, monkeypatch):
    """A folder that is given wins; the audit takes the package as well."""
    monkeypatch.setattr(elpv, "installed", lambda: make(tmp_path / "package"))
    reader = elpv.reader()
    assert values.root(reader, None) == tmp_path / "package"
    assert values.root(reader, tmp_path) == tmp_path
    assert {each.outcome for each in check_dataset.run(reader)} == {"passed"}


def test_a_package_that_is_not_installed_is_named(tmp_path, monkeypatch):
    """The message has the line that installs it, and nothing is imported to find out."""
    monkeypatch.setattr(elpv, "PACKAGE", "no_such_package_of_images")
    reader = elpv.reader()
    with pytest.raises(DataError, match=r"found no --data-root.*adbench install elpv"):
        values.root(reader, None)
