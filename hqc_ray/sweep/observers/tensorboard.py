"""TensorBoard: event files in the results folder, a folder per run, whose settings its HParams page lists."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from hqc_ray.files import short
from hqc_ray.results.row import Row
from hqc_ray.sweep.observers.logger import Logger, Run, Session, described, metric, step

SETTINGS = "_hparams_/session_start_info", "hparams"  # the tag and the plugin by which TensorBoard knows them


class TensorBoard(Logger):
    """Writes `tensorboard/<run>/` below the results folder: `tensorboard --logdir results/<sweep>/tensorboard`."""

    modules: ClassVar[tuple[str, ...]] = ("tensorboard",)
    extra: ClassVar[str] = "tensorboard"

    def open(self, folder: Path, sweep: str) -> Session:
        """See `Logger`."""
        return _Files(folder / "tensorboard")


class _Files(Session):
    """Opens a file for each write: thousands of runs would be thousands of open files; and a full disk is noticed at once."""

    def __init__(self, root: Path) -> None:
        self.root, self.name = root, f"events.out.tfevents.{time.time():010.0f}.hqc"

    def log(self, run: Run, rows: Sequence[Row]) -> None:
        """See `Session`."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        folder = self.root / f"{short(re.sub(r'[^A-Za-z0-9.=-]+', '_', run.name), 100)}-{run.key[:6]}"
        events = []
        if not folder.exists():
            folder.mkdir(parents=True)
            once = [Summary.Value(tag=name, simple_value=value) for name, value in described(rows[0]).items()]
            events += [Event(summary=Summary(value=[value])) for value in (_settings(run), *once)]
        for row in rows:
            value = Summary.Value(tag=metric(row), simple_value=row.robust_accuracy)
            events.append(Event(step=step(row), summary=Summary(value=[value])))
        path = folder / self.name
        if not path.exists():
            events.insert(0, Event(file_version="brain.Event:2"))
        _append(path, events)


def _append(path: Path, events: Iterable[Any]) -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    with path.open("ab") as file:
        writer = RecordWriter(file)
        for event in events:
            event.wall_time = time.time()
            writer.write(event.SerializeToString())


def _settings(run: Run) -> Any:
    """The parameters of a run, as the HParams page reads them."""
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo

    tag, plugin = SETTINGS
    start = SessionStartInfo(group_name=run.key)
    for name, value in run.parameters.items():
        if isinstance(value, str):
            start.hparams[name].string_value = value
        else:
            start.hparams[name].number_value = value
    content = HParamsPluginData(session_start_info=start).SerializeToString()
    return Summary.Value(
        tag=tag, metadata=SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=plugin, content=content))
    )
