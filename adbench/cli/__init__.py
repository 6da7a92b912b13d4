"""The command line: thin, and the only place that catches ``AdbenchError``."""
