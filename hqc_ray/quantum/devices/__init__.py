"""The table of devices, and `get`: a name and options become what evaluates a circuit."""

from __future__ import annotations

from typing import Any

from hqc_ray.entries import lookup, make
from hqc_ray.errors import DeviceError, shown, unknown
from hqc_ray.guard import wrong
from hqc_ray.quantum.devices.aer import Aer
from hqc_ray.quantum.devices.device import Device
from hqc_ray.quantum.devices.ibm.device import IBM
from hqc_ray.quantum.devices.pennylane import (
    PACKAGES,
    DefaultQubit,
    LightningQubit,
    PennyLane,
    fit_names,
    makes_devices,
    plugin_names,
)

DEVICES: dict[str, type[Device]] = {
    "default.qubit": DefaultQubit,
    "lightning.qubit": LightningQubit,
    "qiskit.aer": Aer,
    "ibm": IBM,
    "pennylane": PennyLane,
}

FORMS = "such a class, a device class of PennyLane's, or a function of the number of wires that gives such a device"

__all__ = ["DEVICES", "Device", "get"]


def get(name: str, **options: Any) -> Device:
    """The device `name` with its options: a name in `DEVICES`, any other PennyLane device by its name, or a user's own.

    That is `package.module:name`: a subclass of `Device`, a device class of PennyLane's, or a function of the number of wires
    that gives a PennyLane device; the latter two take the options of `PennyLane`.

    Raises:
        DeviceError: an unknown name (the valid ones are listed), option, value, or noise model; a package that is not installed.
    """
    if name not in DEVICES and name in plugin_names():
        return make("device", DEVICES, "pennylane", {"plugin": name, **options}, DeviceError)
    if name in PACKAGES:
        raise DeviceError(f"{PACKAGES[name]} is not installed", where=f"device {name}", valid=f"pip install {PACKAGES[name]}")
    if name not in DEVICES and ":" not in name:
        raise unknown("device", name, {*DEVICES, *fit_names(), "package.module:name"}, DeviceError)
    if name in DEVICES:
        if ":" in str(plugin := options.get("plugin", "")):  # its code would be in no key
            raise DeviceError(f"{shown(plugin)} is no plugin", where=f"device {name}", valid=f"name: {plugin}")
        return make("device", DEVICES, name, options, DeviceError)
    found = lookup("device", DEVICES, name, DeviceError)
    if isinstance(found, type) and issubclass(found, Device):
        return make("device", DEVICES, name, options, DeviceError, base=Device)
    if makes_devices(found):
        return make("device", {name: PennyLane}, name, {**options, "plugin": name}, DeviceError)
    raise wrong("device", name, "is not a subclass of hqc_ray.quantum.devices.Device", DeviceError, found, valid=FORMS)
