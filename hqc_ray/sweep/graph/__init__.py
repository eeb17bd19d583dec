"""From a plan and the stored results to the jobs that are left."""
