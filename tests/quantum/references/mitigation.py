"""Makes `mitigation.json`, what mitiq and mthree make of executions of our circuits.

Twice, as mitiq 1.1 wants an older numpy than ours: first beside hqc_ray, which runs the circuits, then in an environment of its
own (`pip install mitiq==1.1.0 mthree "numpy<2.3"`), which adds what both libraries make of them:

    python tests/quantum/references/mitigation.py run
    ANOTHER/bin/python tests/quantum/references/mitigation.py mitigate
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

KEPT = Path(__file__).with_suffix(".json")
SCALES = {"a": [1.0, 1.5, 2.0], "b": [1.0, 2.0, 3.0, 4.0]}
SHOTS = 20_000


def run() -> dict[str, Any]:
    """<Z> of each wire [N, Q] at each scale of the noise, and counts of one circuit; bit strings begin with wire 0."""
    import numpy as np

    sys.path.insert(0, str(Path(__file__).parents[1]))
    from quantum_cases import asymmetric, inputs

    from hqc_ray import devices

    circuit = asymmetric()
    weights, angles = inputs(circuit)

    def at(scale: float) -> Any:
        device = devices.get("qiskit.aer", noise="fake_manila", idle=True, noise_scale=scale)
        return device.expectations(circuit, weights, angles).tolist()

    device = devices.get("qiskit.aer", noise="fake_manila", noise_scale=3)
    read = device.run(circuit, weights.numpy(), angles.numpy()[:1])[0]
    counts = np.random.default_rng(0).multinomial(SHOTS, read)
    noise, layout = device.noise_model(), device.facts(circuit).layout
    return {
        "expectations": {str(scale): at(scale) for scale in sorted({s for scales in SCALES.values() for s in scales})},
        "counts": {format(outcome, "03b"): int(count) for outcome, count in enumerate(counts)},
        "assignments": [noise.assignment(qubit).tolist() for qubit in layout],
        "layout": list(layout),
    }


def mitigate(kept: dict[str, Any]) -> dict[str, Any]:
    """The same with mitiq's extrapolations and mthree's quasi-distribution."""
    import cirq
    import mthree
    import numpy as np
    from mitiq import zne

    def at_scale(_: Any, scale: float) -> Any:
        """Stands for our circuit at a scale of the noise, whose execution is kept: the exponent tells the scale."""
        return cirq.Circuit(cirq.X(cirq.LineQubit(0)) ** (scale / 10))

    def extrapolated(factory: Any) -> list[list[float]]:
        found = np.zeros(np.shape(kept["expectations"]["1.0"]))
        for place in np.ndindex(*found.shape):

            def executor(circuit: Any, place: Any = place) -> float:
                (operation,) = circuit.all_operations()
                return float(np.array(kept["expectations"][str(round(10 * operation.gate.exponent, 6))])[place])

            circuit = cirq.Circuit(cirq.X(cirq.LineQubit(0)) ** 0.1)
            found[place] = zne.execute_with_zne(circuit, executor, factory=factory(), scale_noise=at_scale)
        return found.tolist()

    mitigator = mthree.M3Mitigation()
    # mthree: a column for the true bit, bit strings end with qubit 0
    mitigator.cals_from_matrices([np.array(matrix).T for matrix in kept["assignments"]])
    counts = {bits[::-1]: count for bits, count in kept["counts"].items()}
    quasi = mitigator.apply_correction(counts, list(range(len(kept["assignments"]))), distance=3, method="direct")
    return {
        **kept,
        "mitiq": {
            name: {
                "richardson": extrapolated(lambda scales=scales: zne.RichardsonFactory(scales)),
                "linear": extrapolated(lambda scales=scales: zne.LinearFactory(scales)),
            }
            for name, scales in SCALES.items()
        },
        "mthree": {bits[::-1]: float(value) for bits, value in quasi.items()},
    }


if __name__ == "__main__":
    made = run() if sys.argv[1] == "run" else mitigate(json.loads(KEPT.read_text()))
    KEPT.write_text(json.dumps(made, indent=1) + "\n")
