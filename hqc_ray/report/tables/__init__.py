"""The tables of a report, and what stands under them."""
