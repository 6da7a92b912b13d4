"""Benchmarks behind the claims of docs/: ratios of speed, measured side by side in one run, and simulated statistics.

``python -m benchmarks --help``, ``python -m benchmarks.coverage --help``, ``python -m benchmarks.thresholds --help``.
"""
