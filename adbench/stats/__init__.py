"""Statistics of results: intervals, comparisons and thresholds."""
