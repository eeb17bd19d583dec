"""The outcome of a cell: robust accuracy, its interval, and its audit flags."""
