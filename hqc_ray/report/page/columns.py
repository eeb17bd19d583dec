"""The columns of the page's table of rows."""

from __future__ import annotations

# name and title; those of text can be filtered by
TEXTS = (
    ("model", "Model"), ("images", "Images"), ("head", "Head"), ("kind", "Kind"), ("device", "Device"), ("space", "Perturbed"),
    ("epsilon", "Epsilon"), ("attack", "Attack"), ("found", "Found on"), ("seed", "Seed"), ("status", "Audit"),
)  # fmt: skip
NUMBERS = (
    ("qubits", "Qubits"), ("strength", "Epsilon"), ("clean", "Clean"), ("robust", "Robust"), ("worst", "Worst case"),
    ("certified", "Certified"), ("images_evaluated", "Evaluated"), ("seconds", "Seconds"), ("gradients", "Gradients"),
    ("forwards", "Evaluations"), ("circuits", "Circuits"), ("shots", "Shots"),
)  # fmt: skip
