"""Everything on disk: the row, the ledger, the layout of a results folder and its mirror. Knows neither torch nor ray."""
