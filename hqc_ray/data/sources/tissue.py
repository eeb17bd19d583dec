"""Procedural tissue: densities of two stains (haematoxylin, eosin) drawn as nuclei, fibres and fat, then light through them.

Lengths are pixels of a 96 x 96 patch. Colour follows the Beer-Lambert law with the stain vectors of Ruifrok and Johnston,
"Quantification of histochemical staining by color deconvolution" (2001), varied from image to image as slides vary.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from hqc_ray.later import later

if TYPE_CHECKING:
    from scipy import ndimage
else:
    ndimage = later("scipy.ndimage")

SIZE = 96  # pixels of a rendered patch
CENTRE = (SIZE // 3, 2 * SIZE // 3)  # first and last-but-one row and column that the label is about
_OVERSAMPLING = 2  # nuclei are drawn this much larger, for smooth edges
_HAEMATOXYLIN = np.array([0.60, 0.72, 0.38])  # redder than the paper's, as in scans of lymph nodes
_EOSIN = np.array([0.16, 0.92, 0.34])
_TURN = np.linspace(0, 2 * np.pi, 14, endpoint=False)  # the vertices of an outline
_PIXELS = np.stack(np.meshgrid(np.arange(SIZE) + 0.5, np.arange(SIZE) + 0.5), axis=-1)  # [96, 96, 2] (x, y)


@dataclass(frozen=True)
class Nuclei:
    """Outlines to draw, one row a nucleus.

    Args:
        place: [n, 2] centres (x, y) in pixels.
        axes: [n, 2] half axes in pixels.
        angle: [n] direction of the first axis in radians.
        bumps: [n] relative height of the bumps of the outline.
        stain: [n] haematoxylin density of the rim, in [0, 1].
        pallor: [n] share of `stain` that is missing inside the rim.
    """

    place: np.ndarray
    axes: np.ndarray
    angle: np.ndarray
    bumps: np.ndarray
    stain: np.ndarray
    pallor: np.ndarray

    def where(self, keep: np.ndarray) -> Nuclei:
        """The nuclei at which `keep` [n] is true."""
        return Nuclei(*(getattr(self, field.name)[keep] for field in fields(self)))


@dataclass(frozen=True)
class Nest:
    """Where tumour cells grow: a disc outside the centre square, and, with `central` pixels of radius, one inside it."""

    middle: np.ndarray
    radius: float
    central: float

    def holds(self, place: np.ndarray) -> np.ndarray:
        """Whether each place [..., 2] lies in tumour: [...] bool."""
        x, y = place[..., 0], place[..., 1]
        in_centre = (x >= CENTRE[0]) & (x < CENTRE[1]) & (y >= CENTRE[0]) & (y < CENTRE[1])
        middle = np.array([SIZE / 2, SIZE / 2])
        return np.where(in_centre, _distance(place, middle) < self.central, _distance(place, self.middle) < self.radius)


def render(rng: np.random.Generator, tumour: bool) -> np.ndarray:
    """One patch [96, 96, 3] uint8; with `tumour`, its centre 32 x 32 holds large, crowded, pale, irregular nuclei.

    All is drawn from `rng` alike for both classes and `tumour` only decides what the centre keeps of it, so the surround,
    which now and then has a nest of tumour of its own, tells nothing: as in PatchCamelyon, only the centre does.
    """
    lymphoid = _smooth(rng, 4) > rng.normal(0.0, 0.9)  # where small round cells crowd; elsewhere there are fibres
    fibres, direction = _fibres(rng)
    fat = _fat(rng)
    normal = _normal_nuclei(rng, lymphoid, direction)
    abnormal = _tumour_nuclei(rng)
    outer, inner = rng.uniform(8, 18), rng.uniform(16, 20)
    nest = Nest(rng.uniform(0, SIZE, 2), outer if rng.random() < 0.15 else 0.0, inner if tumour else 0.0)

    invaded = ndimage.gaussian_filter(nest.holds(_PIXELS).astype(float), 1.0)
    fat = fat * (1 - invaded)
    normal = normal.where(~nest.holds(normal.place) & (_at(fat, normal.place) < 0.3))
    nuclei = _draw(normal, abnormal.where(nest.holds(abnormal.place)))
    ground = np.where(lymphoid, 0.25 + 0.3 * fibres, 0.25 + 0.5 * fibres)
    ground += invaded * (0.45 - ground) * 0.8
    return _light(rng, nuclei, ground, fat)


def _distance(place: np.ndarray, point: np.ndarray) -> np.ndarray:
    """From each place [..., 2] to a point [2], in pixels."""
    return np.hypot(place[..., 0] - point[0], place[..., 1] - point[1])


def _at(field: np.ndarray, place: np.ndarray) -> np.ndarray:
    """The field's [96, 96] values at places [n, 2]."""
    column, row = np.clip(place, 0, SIZE - 1).astype(int).T
    return field[row, column]


def _smooth(rng: np.random.Generator, cells: int) -> np.ndarray:
    """A smooth random field [96, 96] of about unit variance, with `cells` independent values along a side."""
    coarse = Image.fromarray(rng.standard_normal((cells + 1, cells + 1)).astype(np.float32))
    return 1.4 * np.asarray(coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def _fibres(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Wavy collagen bundles [96, 96] in [0, 1], and their direction in radians."""
    direction = rng.uniform(0, np.pi)
    across = _PIXELS @ np.array([-np.sin(direction), np.cos(direction)])
    phase = across * rng.uniform(0.5, 1.1) + rng.uniform(1, 4) * _smooth(rng, 5)
    bundles = 0.5 + 0.3 * np.sin(phase) * np.clip(0.6 + 0.5 * _smooth(rng, 7), 0, 1) + 0.1 * _smooth(rng, 30)
    return np.clip(bundles, 0, 1), direction


def _fat(rng: np.random.Generator) -> np.ndarray:
    """Empty vacuoles of fat and clefts [96, 96]: 1 where no tissue is."""
    if rng.random() < 0.55:
        return np.zeros((SIZE, SIZE))
    wobble = 4 * _smooth(rng, 6)
    depth = np.full((SIZE, SIZE), -np.inf)
    for _ in range(rng.integers(1, 5)):
        depth = np.maximum(depth, rng.uniform(6, 34) - _distance(_PIXELS, rng.uniform(-10, SIZE + 10, 2)))
    return np.clip(depth + wobble, 0, 1.5) / 1.5


def _lattice(rng: np.random.Generator, spacing: float, disorder: float) -> np.ndarray:
    """Places [n, 2] on a turned, jittered lattice over the patch: crowded, yet hardly overlapping."""
    steps = np.arange(-int(SIZE / spacing) - 1, int(SIZE / spacing) + 2) * spacing
    rows, columns = np.meshgrid(steps, steps, indexing="ij")
    grid = np.stack([columns.ravel() + 0.5 * (np.arange(rows.size) // len(steps) % 2) * spacing, 0.87 * rows.ravel()], axis=1)
    angle = rng.uniform(0, np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    place = grid @ turn + SIZE / 2 + rng.normal(0, disorder * spacing, grid.shape)
    return place[np.all((place > -6) & (place < SIZE + 6), axis=1)]


def _normal_nuclei(rng: np.random.Generator, lymphoid: np.ndarray, direction: float) -> Nuclei:
    """Small round dark lymphocytes where `lymphoid`, few spindles along the fibres elsewhere."""
    place = _lattice(rng, rng.uniform(6.8, 9.5), rng.uniform(0.12, 0.24))
    count, crowded = len(place), _at(lymphoid, place)
    size = rng.uniform(2.7, 3.5) * rng.lognormal(0, 0.13, count)
    round_axes = size[:, None] * rng.uniform(0.85, 1.15, (count, 2))
    spindle_axes = size[:, None] * np.stack([rng.uniform(1.0, 1.9, count), rng.uniform(0.4, 0.75, count)], axis=1)
    nuclei = Nuclei(
        place=place,
        axes=np.where(crowded[:, None], round_axes, spindle_axes),
        angle=direction + rng.normal(0, 0.25, count),
        bumps=rng.uniform(0, 0.12, count),
        stain=rng.uniform(0.6, 1.0, count),
        pallor=rng.uniform(0, 0.45, count),
    )
    return nuclei.where(rng.random(count) < np.where(crowded, rng.uniform(0.75, 1.0), rng.uniform(0.08, 0.4)))


def _tumour_nuclei(rng: np.random.Generator) -> Nuclei:
    """Large, crowded nuclei with open chromatin and uneven outlines."""
    size = rng.uniform(5.8, 8.0)
    place = _lattice(rng, 1.95 * size, 0.1)
    count = len(place)
    return Nuclei(
        place=place,
        axes=size * rng.uniform(0.75, 1.15, (count, 1)) * rng.uniform(0.8, 1.15, (count, 2)),
        angle=rng.uniform(0, np.pi, count),
        bumps=rng.uniform(0.06, 0.22, count),
        stain=rng.uniform(0.45, 0.75) * rng.uniform(0.8, 1.2, count),
        pallor=rng.uniform(0.35, 0.65) * rng.uniform(0.7, 1.3, count),
    )


def _outlines(nuclei: Nuclei, scale: float) -> list[list[float]]:
    """The polygons' flat coordinates (x0, y0, x1, ...) on the oversampled canvas, shrunk by `scale`."""
    phase = nuclei.place.sum(axis=1, keepdims=True)  # radians as random as the place, and of this nucleus alone
    radius = 1 + nuclei.bumps[:, None] * (np.cos(2 * _TURN + phase) + 0.7 * np.cos(3 * _TURN + 2.7 * phase))
    along, beside = (scale * radius * nuclei.axes[:, i, None] * f(_TURN) for i, f in enumerate((np.cos, np.sin)))
    cosine, sine = np.cos(nuclei.angle)[:, None], np.sin(nuclei.angle)[:, None]
    x = nuclei.place[:, :1] + along * cosine - beside * sine
    y = nuclei.place[:, 1:] + along * sine + beside * cosine
    return (np.stack([x, y], axis=-1) * _OVERSAMPLING).reshape(len(x), 2 * len(_TURN)).tolist()


def _draw(*groups: Nuclei) -> np.ndarray:
    """The haematoxylin density of the nuclei [96, 96] in [0, 1], later groups on top."""
    canvas = Image.new("L", (SIZE * _OVERSAMPLING, SIZE * _OVERSAMPLING))
    pen = ImageDraw.Draw(canvas)
    for nuclei in groups:
        rims, insides = (255 * nuclei.stain).astype(int), (255 * nuclei.stain * (1 - nuclei.pallor)).astype(int)
        outlines = zip(_outlines(nuclei, 1.0), _outlines(nuclei, 0.72), rims.tolist(), insides.tolist(), strict=True)
        for outer, inner, rim, inside in outlines:
            pen.polygon(outer, fill=rim)
            pen.polygon(inner, fill=inside)
    return np.asarray(canvas.reduce(_OVERSAMPLING), dtype=float) / 255


def _light(rng: np.random.Generator, nuclei: np.ndarray, ground: np.ndarray, fat: np.ndarray) -> np.ndarray:
    """What a camera sees [96, 96, 3] uint8 through the stains, on a slide of its own colour, focus and brightness."""
    chromatin = ndimage.gaussian_filter(rng.standard_normal((SIZE, SIZE)), 0.9)
    haematoxylin = nuclei * (1 + 0.9 * chromatin) + 0.12 * ground
    eosin = (ground + 0.25 * ndimage.gaussian_filter(rng.standard_normal((SIZE, SIZE)), 0.7)) * (1 - 0.5 * nuclei) * (1 - fat)
    haematoxylin, eosin = (ndimage.gaussian_filter(stain, rng.uniform(0.35, 0.85)) for stain in (haematoxylin * (1 - fat), eosin))
    vectors = np.stack([_HAEMATOXYLIN, _EOSIN]) + rng.normal(0, 0.06, (2, 3))
    strength = np.array([rng.uniform(1.5, 3.2), rng.uniform(0.3, 1.2)])
    density = np.stack([haematoxylin, eosin], axis=-1) * strength @ np.clip(vectors, 0.03, None)
    light = rng.uniform(0.9, 1.0) * rng.uniform(0.96, 1.0, 3) * np.exp(-density)
    return np.clip(255 * light + rng.normal(0, 2.5, density.shape), 0, 255).astype(np.uint8)
