"""From a plan and what is stored to the jobs that are left."""
