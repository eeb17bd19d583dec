"""What a report shows, computed once: models, attacks, lines, transfers, and the numbers of the reference study."""
