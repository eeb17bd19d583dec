"""The table of devices, and `get`: a name and options become what evaluates a circuit."""

from __future__ import annotations

from typing import Any

from hqc_ray.entries import make
from hqc_ray.errors import DeviceError, unknown
from hqc_ray.quantum.devices.aer import Aer
from hqc_ray.quantum.devices.device import Device
from hqc_ray.quantum.devices.ibm.device import IBM
from hqc_ray.quantum.devices.pennylane import PACKAGES, DefaultQubit, LightningQubit, PennyLane, plugin_names

DEVICES: dict[str, type[Device]] = {
    "default.qubit": DefaultQubit,
    "lightning.qubit": LightningQubit,
    "qiskit.aer": Aer,
    "ibm": IBM,
    "pennylane": PennyLane,
}

__all__ = ["DEVICES", "Device", "get"]


def get(name: str, **options: Any) -> Device:
    """The device `name` with its options: a name in `DEVICES`, any other PennyLane device by its name, or `package.module:Class`.

    Raises:
        DeviceError: an unknown name (the valid ones are listed), option, value, or noise model; a package that is not installed.
    """
    if name not in DEVICES and name in plugin_names():
        return make("device", DEVICES, "pennylane", {"plugin": name, **options}, DeviceError)
    if name in PACKAGES:
        raise DeviceError(f"{PACKAGES[name]} is not installed", where=f"device {name}", valid=f"pip install {PACKAGES[name]}")
    if name not in DEVICES and ":" not in name:
        raise unknown("device", name, {*DEVICES, *plugin_names(), "package.module:Class"}, DeviceError)
    return make("device", DEVICES, name, options, DeviceError, base=Device)
