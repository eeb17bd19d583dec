"""Circuits as pure data, the devices that evaluate them, and their exact surrogates. Knows no images."""
