"""From a sweep file to what has to be done: distinct cells, models, attack groups, and their content keys. Computes nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import Any, Protocol

from pydantic import BaseModel

from hqc_ray.entries import with_code
from hqc_ray.errors import SpecError
from hqc_ray.spec import AttackSpec, Cell, DataSpec, DeviceSpec, EvaluateSpec, ModelSpec, SweepSpec, TrainSpec

KEY_VERSION = 1  # raise it when the same cell would give another row
# Fields that came after the first keys: left out of a key while they are at their default, so that old rows stay valid.
LATER_FIELDS = {"mode", "access", "repeats", "device"}

_NAMES = ("name", "source", "head", "backbone")  # fields that may name a user's own code


def content_key(*parts: Any) -> str:
    """16 hexadecimal digits that stand for `parts`: equal parts, equal key, on every machine."""
    text = json.dumps([KEY_VERSION, *(_plain(p) for p in parts)], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(part: Any) -> Any:
    if not isinstance(part, BaseModel):
        return part
    fields = type(part).model_fields
    later = {name for name in LATER_FIELDS & fields.keys() if getattr(part, name) == fields[name].default}
    plain = {k: v for k, v in part.model_dump(mode="json").items() if k not in later}
    if isinstance(part, DataSpec):
        plain.pop("path", None)  # where the data lies; what it holds is the data digest's business
    return {k: PurePath(v).name if k == "weights" else with_code(v) if k in _NAMES else v for k, v in plain.items()}


class Resolver(Protocol):
    """What the rooms say of a section: is it valid, and what are the options that were left out."""

    def data(self, data: DataSpec) -> DataSpec:
        """The same, with every option filled in."""

    def model(self, model: ModelSpec) -> ModelSpec:
        """The same, with every option filled in, and those that have no meaning for its head set to their default."""

    def has_circuit(self, model: ModelSpec) -> bool:
        """Whether its head is a circuit, so that it runs on devices."""

    def train(self, train: TrainSpec, model: ModelSpec) -> TrainSpec:
        """The same, with every option of its device filled in; without one, where that trains the same model."""

    def attack(self, attack: AttackSpec) -> AttackSpec:
        """The same, with every option filled in."""

    def device(self, device: DeviceSpec, model: ModelSpec) -> DeviceSpec:
        """The same, with every option filled in; refused where it cannot run the model's circuit."""

    def evaluate(self, evaluate: EvaluateSpec, device: DeviceSpec | None = None) -> EvaluateSpec:
        """The same, with what means nothing on the device (None: a model without a circuit) at its default."""


@dataclass(frozen=True)
class ModelJob:
    """One training: everything that decides a model's weights, but for the digests of data and weights."""

    data: DataSpec
    model: ModelSpec
    train: TrainSpec
    seed: int
    id: str

    @property
    def place(self) -> str:
        """Where the data lies: no part of a key, but two places of one sweep are two subsets."""
        return str(self.data.options.get("path", ""))


@dataclass(frozen=True)
class Group:
    """The cells of one model on one device under one attack: they differ in epsilon alone and share its work."""

    model: ModelJob
    device: DeviceSpec | None
    cells: tuple[Cell, ...]
    id: str


@dataclass(frozen=True)
class Plan:
    """The distinct cells of a sweep in the order of its file."""

    name: str
    cells: tuple[Cell, ...]
    groups: tuple[Group, ...]

    @cached_property
    def models(self) -> tuple[ModelJob, ...]:
        """The distinct trainings."""
        return tuple({(g.model.place, g.model.id): g.model for g in self.groups}.values())

    @cached_property
    def fits(self) -> tuple[tuple[ModelJob, DeviceSpec], ...]:
        """The distinct pairs of a model with a circuit and a device that runs it."""
        return tuple(
            {
                (g.model.place, g.model.id, content_key(g.device)): (g.model, g.device)
                for g in self.groups
                if g.device and g.cells[0].evaluate.mode == "surrogate"
            }.values()
        )

    @cached_property
    def data(self) -> tuple[tuple[DataSpec, int], ...]:
        """The distinct subsets: data and seed."""
        return tuple({(m.place, content_key(m.data, m.seed)): (m.data, m.seed) for m in self.models}.values())


class _Memo:
    """Each distinct section is resolved and keyed once, not once a cell."""

    def __init__(self, resolver: Resolver) -> None:
        self.resolver = resolver
        self.seen: dict[Any, Any] = {}

    def __call__(self, method: str, *sections: BaseModel) -> tuple[Any, str]:
        name = (method, *(id(s) for s in sections))
        if name not in self.seen:
            ask = getattr(self.resolver, method, None)  # what has no options of an entry is valid as it stands
            resolved = ask(*sections) if ask else sections[0]
            self.seen[name] = (resolved, content_key(resolved), sections)  # sections: keeps their ids from being reused
        return self.seen[name][:2]


def build(spec: SweepSpec, resolver: Resolver) -> Plan:
    """The plan of a sweep.

    Raises:
        InputError: a name, option or combination that no room knows; it says in which part of the file.
    """
    memo = _Memo(resolver)
    cells: dict[tuple[str, str], Cell] = {}  # by place and key, as all of these
    members: dict[tuple[str, str], list[Cell]] = {}
    jobs: dict[tuple[str, str], ModelJob] = {}
    heads: dict[tuple[str, str], tuple[ModelJob, DeviceSpec | None]] = {}
    ids: dict[tuple[Any, ...], str] = {}  # keys of models and groups, made once, not once a cell
    kinds: dict[str, str] = {}  # of attacks, whatever their epsilon
    for cell in spec.cells():
        data, data_key = memo("data", cell.data)
        model, model_key = memo("model", cell.model)
        attack, attack_key = memo("attack", cell.attack)
        device, device_key = memo("device", cell.device or DeviceSpec(), model) if memo("has_circuit", model)[0] else (None, "")
        train, train_key = memo("train", cell.train, model)
        evaluate, evaluate_key = memo("evaluate", cell.evaluate, *([device] if device else []))
        parts = (data_key, model_key, train_key, cell.seed)
        model_id = ids.get(parts) or ids.setdefault(parts, content_key(*parts))
        cell_id = content_key(model_id, device_key, attack_key, evaluate_key)
        place = str(data.options.get("path", ""))
        if (place, cell_id) in cells:
            continue
        job = jobs.setdefault((place, model_id), ModelJob(data, model, train, cell.seed, model_id))
        resolved = {"data": data, "model": model, "train": train, "attack": attack, "device": device, "evaluate": evaluate}
        full = cell.model_copy(update=resolved)
        kind = kinds.get(attack_key) or kinds.setdefault(attack_key, content_key(attack.name, attack.options))
        of = (model_id, device_key, evaluate_key, kind)
        group_id = ids.get(of) or ids.setdefault(of, content_key(*of[:3], attack.name, attack.options))
        group = (place, group_id)
        cells[place, cell_id] = full
        members.setdefault(group, []).append(full)
        heads.setdefault(group, (job, device))
    if not cells:
        raise SpecError("the grid has no cell", where=spec.name)
    groups = tuple(Group(*heads[g], tuple(members[g]), g[1]) for g in members)
    return Plan(spec.name, tuple(cells.values()), groups)


def attack_label(attack: AttackSpec, others: Iterable[AttackSpec] = ()) -> str:
    """The attack's name, with the options in which it differs from another attack of the sweep of the same name."""
    rivals: Sequence[AttackSpec] = [o for o in others if o.name == attack.name]
    telling = sorted(k for k, v in attack.options.items() if any(o.options.get(k) != v for o in rivals))
    inner = ",".join(f"{k}={attack.options[k]}" for k in telling)
    return f"{attack.name}({inner})" if inner else attack.name
