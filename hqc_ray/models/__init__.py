"""Classifiers: a frozen backbone (or a small CNN trained end to end) and a head, pixels in [0,1] to logits."""
