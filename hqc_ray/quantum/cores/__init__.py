"""What stands in a bottleneck: angles [B, Q] to outputs [B, Q]."""
