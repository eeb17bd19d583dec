"""What runs a sweep on many machines: checking a cluster's file, asking its nodes how they are, submitting a sweep to it."""
