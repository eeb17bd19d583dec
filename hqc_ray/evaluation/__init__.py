"""What a cell is worth: robust accuracy, its interval, and its audit flags."""
