"""From the points of a sweep file to its plan. Computes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from hqc_ray.errors import Collected, InputError, SpecError
from hqc_ray.plan.judges import Crew, Resolved, Seat
from hqc_ray.plan.keys import content_key
from hqc_ray.plan.parts import Cell, Group, Judge, Plan, Search, Training
from hqc_ray.plan.resolver import Resolver
from hqc_ray.results.row import Audience
from hqc_ray.spec import MAX_CELLS, SECTIONS, AttackSpec, DeviceSpec, Mode, ModelSpec, Point, SweepSpec

_IDEAL = DeviceSpec()  # the ideal twin of every device
ALONE = ("data", "model", "attack", "device")  # sections of which a wrong name is known whatever the others are


class _Memo:
    """Each distinct section is resolved and keyed once, not once per cell."""

    def __init__(self, resolver: Resolver) -> None:
        self.resolver = resolver
        self.seen: dict[Any, Any] = {}

    def __call__(self, method: str, *sections: Any) -> tuple[Any, str]:
        name = (method, *(id(s) for s in sections))
        if name not in self.seen:
            try:
                resolved = getattr(self.resolver, method)(*sections)
            except InputError as problem:
                self.seen[name] = (None, "", problem, sections)
            else:
                self.seen[name] = (resolved, content_key(resolved), None, sections)  # sections: keeps their ids from being reused
        made, key, refused, _ = self.seen[name]
        if refused:
            raise refused
        return made, key


def build(spec: SweepSpec, resolver: Resolver) -> Plan:
    """The plan of a sweep.

    Raises:
        InputError: a name, option or combination that no room knows; it says in which block, section and entry of the file.
    """
    builder = _Builder(resolver)
    given = list(spec.points())
    resolver.models({id(point.model): point.model for point in given}.values())
    points: list[Resolved] = []
    found = Collected()
    for one in given:
        with found:
            points += builder.with_controls(one)
        if found.full:
            break
    found.refuse()
    if len(points) > MAX_CELLS:
        what = f"the grid has {len(points):,} cells with the controls of its circuits"
        raise SpecError(what, where=spec.name, valid=f"up to {MAX_CELLS:,} cells")
    for point in points:
        builder.add(point, point.seat)
    builder.transfers(points)
    if not builder.members:
        raise SpecError("the grid has no cell", where=spec.name)
    groups = tuple(builder.group(builder.searches[key], tuple(cells.values())) for key, cells in builder.members.items())
    plan = Plan(spec.name, groups)
    for training, twin in plan.deployments:
        try:
            builder.memo("surrogate", training.model, twin)
        except InputError as problem:
            raise _moved(problem, next(point.places for point in points if point.seat.training is training)) from problem
    return plan


class _Builder:
    """Collects trainings, searches, judges and cells; each is made and keyed once, however many points share it."""

    def __init__(self, resolver: Resolver) -> None:
        self.memo, self.resolver = _Memo(resolver), resolver
        self.controls: dict[tuple[int, int], tuple[ModelSpec, ...]] = {}  # of a section, by its id and that of its data
        self.ids: dict[tuple[Any, ...], str] = {}
        self.trainings: dict[tuple[str, str], Training] = {}
        self.seats: dict[tuple[str, str, str], Seat] = {}
        self.twins: dict[str, DeviceSpec] = {}
        self.searches: dict[tuple[str, str], Search] = {}  # by place and key
        self.starts: dict[tuple[str, str], Search] = {}  # likewise
        self.judges: dict[tuple[str, str], Judge] = {}
        self.members: dict[tuple[str, str], dict[tuple[str, float], Cell]] = {}  # by search; by judge and epsilon

    def with_controls(self, given: Point) -> Iterator[Resolved]:
        """A point, and where it asks for them the same with each control of its circuit, which has no device."""
        mine = self.point(given)
        yield mine
        if not given.controls:
            return
        key = id(given.model), id(given.data)
        if key not in self.controls:
            try:
                self.controls[key] = self.resolver.controls(mine.seat.training.model, mine.seat.training.data)
            except InputError as problem:
                raise _moved(problem, given.places) from problem
        for model in self.controls[key]:
            if self.resolver.reaches(model, given.attack.level):
                yield self.point(given.model_copy(update={"model": model}))

    def point(self, given: Point) -> Resolved:
        """A point with every section resolved; an error says where in the file its section stands."""
        try:
            return self._resolved(given)
        except InputError as problem:
            raise self._beside(problem, given) from problem

    def _beside(self, problem: InputError, given: Point) -> InputError:
        """The error with its place, and those of the point's other sections that can be told from them alone."""
        found = Collected()
        for one in problem.all:
            with found:
                raise _moved(one, given.places)
        for name in ALONE:
            with found:
                try:
                    self.memo("alone", getattr(given, name))
                except InputError as other:
                    raise _moved(other, given.places) from other
        return found.whole()

    def _resolved(self, given: Point) -> Resolved:
        data, data_key = self.memo("data", given.data)
        model, model_key = self.memo("model", given.model, data)
        device, device_key = None, ""
        found = Collected()  # none of the three needs another
        with found:
            attack, _ = self.memo("attack", given.attack, model, data)
        with found:
            if self.memo("has_circuit", model)[0]:
                device, device_key = self.memo("device", given.device, model)
        with found:
            train, train_key = self.memo("train", given.train, model)
        found.refuse()
        evaluate, _ = self.memo("evaluate", given.evaluate, device, given.attack)
        training = self._training((data, data_key), (model, model_key), (train, train_key), given.seed)
        label = self.memo("label", device)[0] if device else ""
        backbone = self.memo("backbone", model)[1]
        made = Seat(training, device, device_key, label, backbone)
        seat = self.seats.setdefault((training.place, training.id, device_key), made)
        control = None
        if device and "control" in self.memo("borrows", attack)[0]:
            bare = self.memo("control", model)[0]
            other = self.memo("model", bare, data)
            control = self._training((data, data_key), other, self.memo("train", given.train, other[0]), given.seed)
        return Resolved(seat, attack, evaluate, given.places, control)

    def _training(self, data: tuple[Any, str], model: tuple[Any, str], train: tuple[Any, str], seed: int) -> Training:
        """A training of sections with their keys."""
        made = Training(data[0], model[0], train[0], seed, self._key(data[1], model[1], train[1], seed))
        return self.trainings.setdefault((made.place, made.id), made)

    def add(self, point: Resolved, judging: Seat) -> None:
        """Add the cell in which `judging` judges what the point searches; adding it again changes nothing."""
        search, epsilon = self._search(point), point.attack.epsilon
        # of the seat that judges, whoever is attacked: only a circuit on an exact device runs natively, only samples repeat
        mode: Mode = point.evaluate.mode if judging.device and not judging.shots else "surrogate"
        repeats = point.evaluate.repeats if judging.shots else 1
        certificate = point.evaluate.certificate
        id = self._key("judge", judging.training.id, judging.key, mode, repeats, *(["certificate"] if certificate else []))
        made = Judge(judging.training, judging.device, self._twin(judging)[0], repeats, mode, id, certificate)
        judge = self.judges.setdefault((judging.place, id), made)
        cells = self.members.setdefault((search.training.place, search.id), {})
        if (id, epsilon) not in cells or point.evaluate.keep:  # one of two points that are the same cell may keep its images
            cells[id, epsilon] = Cell(search, epsilon, judge, point.evaluate.keep)

    def _twin(self, seat: Seat) -> tuple[DeviceSpec | None, str]:
        """The exact twin of a seat's device and its key; equal twins are one object."""
        if seat.device is None:
            return None, ""
        twin, key = self.memo("exact", seat.device)
        return self.twins.setdefault(key, twin), key

    def _search(self, point: Resolved) -> Search:
        seat, evaluate = point.seat, point.evaluate
        twin, twin_key = (None, "") if evaluate.access == "ideal" else self._twin(seat)
        device, device_key = (seat.device, seat.key) if evaluate.access == "shots" else (twin, twin_key)
        audience: Audience = "itself"
        if (seat.device and evaluate.access == "ideal") or evaluate.judges.any:
            audience = "others"
        elif seat.shots:
            audience = "samples"
        mode: Mode = evaluate.mode if seat.device else "surrogate"
        shared = (evaluate.images, evaluate.batch_size, mode)
        made = Search(seat.training, device, twin, evaluate.access, point.attack, *shared, audience, "", control=point.control)
        id = self._search_id(made, device_key)
        found = self.searches.setdefault((seat.place, id), replace(made, id=id))
        if mode == "surrogate" and audience == "itself" and seat.device and "ideal" in self.memo("borrows", point.attack)[0]:
            self._begin(found)
        return found

    def _begin(self, search: Search) -> None:
        """Note the same search on the ideal twin, with whose images this one begins, unless it is that search."""
        device, _ = self.memo("device", _IDEAL, search.training.model)
        exact, key = self.memo("exact", device)
        twin = self.twins.setdefault(key, exact)
        if twin is not search.twin:
            id = self._search_id(search, key)
            self.starts[search.training.place, search.id] = replace(search, device=twin, twin=twin, id=id)

    def _search_id(self, search: Search, device_key: str) -> str:
        """What names a search, through a device of this key, but for nested epsilons: all that its outcome depends on."""
        shared = (search.images, search.batch_size, search.mode, search.audience)
        return self._key("search", search.training.id, device_key, search.access, self._of_attack(search.attack), *shared)

    def _of_attack(self, attack: AttackSpec) -> str:
        """The key of an attack without its epsilon, made once per section."""
        return self.ids.get(("attack", id(attack))) or self.ids.setdefault(
            ("attack", id(attack)), content_key(attack.model_copy(update={"epsilon": 0.0}))
        )

    def _key(self, *parts: Any) -> str:
        return self.ids.get(parts) or self.ids.setdefault(parts, content_key(*parts))

    def group(self, search: Search, cells: tuple[Cell, ...]) -> Group:
        """A search and its cells. Where epsilons are nested, the list of them is part of its key: it computes them together."""
        if not self.memo("nested", search.attack)[0]:
            return Group(search, cells)
        epsilons = tuple(sorted({cell.epsilon for cell in cells if cell.epsilon > 0}))
        begun = self.starts.get((search.training.place, search.id)) if epsilons else None
        start = begun and self._whole(begun, epsilons)
        whole = self._whole(search, epsilons, start)
        return Group(whole, tuple(replace(cell, search=whole) for cell in cells))

    def _whole(self, search: Search, epsilons: tuple[float, ...], start: Search | None = None) -> Search:
        """A search at nested epsilons."""
        return replace(search, id=self._key("nested", search.id, epsilons), epsilons=epsilons, start=start)

    def transfers(self, points: Sequence[Resolved]) -> None:
        """Add the cells that others of the sweep judge, where `evaluate.judges` asks for them."""
        asking = [point for point in points if point.evaluate.judges.any]
        if not asking:
            return
        crew = Crew(self.seats.values())
        judges = []
        for point in asking:
            try:
                judges.append(crew.judges(point))
            except InputError as problem:
                raise _moved(problem, point.places) from problem
        if (cells := len(points) + sum(map(len, judges))) > MAX_CELLS:
            what = f"the grid has {cells:,} cells with its further judges"
            raise _moved(SpecError(what, where="evaluate.judges", valid=f"up to {MAX_CELLS:,} cells"), asking[0].places)
        for point, seats in zip(asking, judges, strict=True):
            for seat in seats:
                self.add(point, seat)


def _moved(problem: InputError, places: Sequence[str]) -> InputError:
    """The error with its place in the file; `places` as in `Point`, or empty where a point has none."""
    return problem.moved(dict(zip(SECTIONS, places[1:], strict=True)), places[0]) if places else problem
