"""Stored results: records, their folder, variants and ranking."""
