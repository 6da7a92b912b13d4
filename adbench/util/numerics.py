"""The number of the core's numerics, which is part of the name of each run and of each cached file.

Raise it whenever a change of ``adbench`` may move results: decoding, resizing, backbones, metrics, thresholds, the
order of random numbers. All stored results are then stale, and cached images and features are made again. A change of
a method's own code needs nothing here: its source counts by itself (``source.digest``).

| number | what moved results |
| --- | --- |
| 1 | the first number that is stored |
| 2 | AUPRO: regions of defects are those of the masks' own pixels, and a small one keeps a pixel when masks shrink |
"""

NUMERICS = 2
