"""What a running sweep shows of itself: counts by stage, the time that is left, the newest results."""


def duration(seconds: float) -> str:
    """Seconds as people write them: '45 s', '12 min', '3 h 20 min'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
