"""The cluster: Ray Tune's trials as workers. The only room of the sweep that imports ray."""
