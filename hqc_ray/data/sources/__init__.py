"""The data sources of the table, and what they read files with."""
