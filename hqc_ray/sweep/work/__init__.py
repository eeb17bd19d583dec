"""What a worker does with a job. Knows neither Ray nor files."""

from hqc_ray.sweep.work.worker import Worker

__all__ = ["Worker"]
