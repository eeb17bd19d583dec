"""A real IBM machine: circuits measured once, in jobs that are never paid for twice."""
