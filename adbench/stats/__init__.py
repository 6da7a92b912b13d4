"""Intervals, comparisons and thresholds: how certain a number is."""
