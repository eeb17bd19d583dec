"""The figures of a report: accuracy against epsilon, transferred attacks, patches."""
