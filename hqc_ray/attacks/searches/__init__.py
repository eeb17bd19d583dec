"""The attacks of the table, and the loop that the iterative ones share."""
