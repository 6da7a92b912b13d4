"""What every other wing uses, and what imports nothing of adbench."""
