"""`python -m hqc_ray` is `hqc`."""

import sys

from hqc_ray.cli import main

sys.exit(main())
