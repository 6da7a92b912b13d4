"""What proves the claims of docs/: speed, as ratios measured side by side in one run, and what statistics promise.

``python -m benchmarks --help``, ``python -m benchmarks.coverage --help``, ``python -m benchmarks.thresholds --help``.
"""
