"""From jobs to rows: on Ray, or one after another in this process."""
