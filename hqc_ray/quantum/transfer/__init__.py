"""Noisy circuits in the Heisenberg picture: observables carried backwards through Pauli transfer matrices."""
