"""Certificates: how far the input of a head must move before its decision changes, bounded on every side."""
