"""The commands of `hqc`, a module each, and what they share: exit codes, the parser (`parser`), what they print (`output`)."""

from __future__ import annotations

from hqc_ray.commands.output import Downloads, console, json_option, print_json, print_table, print_text
from hqc_ray.commands.parser import COUNT, PER_GPU, WORKERS, Parser, group, seconds, summary, whole

__all__ = [
    "BAD_INPUT", "COUNT", "FAILED", "INTERRUPTED", "OK", "PER_GPU", "WORKERS", "Downloads", "Parser", "console", "group",
    "json_option", "print_json", "print_table", "print_text", "seconds", "summary", "whole",
]  # fmt: skip

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
