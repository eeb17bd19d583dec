"""Errors after gates and in readout: of a fake backend's calibration (`machines`), or by numbers (`parametric`)."""
