"""What runs sweeps on many machines: checking a cluster's file, asking its nodes how they do, submitting sweeps to its head."""
