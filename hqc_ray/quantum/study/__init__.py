"""What is known about circuits and devices: expressibility, dead weights, what is installed."""
