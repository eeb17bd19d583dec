"""How a cell is evaluated: what its device and its attack allow."""

from __future__ import annotations

from hqc_ray import attacks
from hqc_ray.certify import NORMS
from hqc_ray.errors import SpecError
from hqc_ray.spec import AttackSpec, DeviceSpec, EvaluateSpec
from hqc_ray.sweep.graph import borrowing


def checked(evaluate: EvaluateSpec, device: DeviceSpec | None, attack: AttackSpec) -> EvaluateSpec:
    """Checks `mode` and `access`, and drops what does not apply: both without a circuit, `repeats` without shots,
    `certificate` where an attack's perturbations are not of the kind that is certified, and `keep` where no pixel moves.

    Raises:
        SpecError: settings that contradict each other, or the device.
    """
    shots = device.options.get("shots") if device else None
    if device and evaluate.access == "shots" and not shots:
        raise SpecError("access: shots on a device without shots", where="evaluate", valid="a device with shots, exact, or ideal")
    if device and evaluate.mode == "native" and (shots or evaluate.access != "exact"):
        raise SpecError(
            "mode: native needs an exact device and access: exact", where="evaluate", valid="both, or mode: surrogate"
        )
    if device and evaluate.access == "ideal" and "ideal" in borrowing.named(attack):
        what = "the ideal twin is what is searched, so that there is nothing to begin with"
        raise SpecError(what, where="attack.members.ideal", valid="access: exact, or no member `ideal`")
    certified = evaluate.certificate and NORMS.get(attack.level) == attacks.get(attack.name, **attack.options).norm
    if certified and device and evaluate.mode == "native":
        what = "a certificate is of the exact function that a surrogate is"
        raise SpecError(what, where="evaluate.certificate", valid="false, or mode: surrogate")
    access = evaluate.access if device else EvaluateSpec.model_fields["access"].default
    moves = attack.level == "pixels" and attack.epsilon > 0 and attacks.get(attack.name, **attack.options).perturbs
    return evaluate.model_copy(update={"access": access, "certificate": certified, "keep": evaluate.keep and moves})
