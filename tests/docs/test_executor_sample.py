"""The executor of the plugin guide runs."""

from __future__ import annotations

import pytest
from doc_blocks import plugins
from runs import ONE, metrics_of, only_run, run_tiny


@pytest.mark.usefixtures("one_thread")
def test_the_executor_of_the_guide_gives_the_numbers_of_local(tiny_data, tmp_path):
    """A run by the guide's executor has the metrics of one without."""
    plugin = tmp_path / "single.py"
    plugin.write_text(plugins()["single"], encoding="utf-8")
    by_it = run_tiny(tiny_data, tmp_path / "one", "--plugin", plugin, "--executor", "single", *ONE)
    assert by_it.exit_code == 0, by_it.output
    local = run_tiny(tiny_data, tmp_path / "two", *ONE)
    assert local.exit_code == 0, local.output
    assert metrics_of(only_run(tmp_path / "one")) == metrics_of(only_run(tmp_path / "two"))
