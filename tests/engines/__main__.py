"""`python -m tests.engines [--quick] [NAME ...]`: try the engines on real clusters, and print how far promises were kept.

Needs root, Ray, submitit, and the programs of the system's packages iproute2, slurm-wlm and munge: `make engines` installs them.
"""

import sys

from tests.engines import machines, slurm_daemons
from tests.faults.table import try_out

if __name__ == "__main__":
    if missing := machines.missing() or slurm_daemons.missing():
        sys.exit(f"tests.engines {missing}: make engines, as root")
    sys.exit(try_out("tests.engines", ("same_bytes", "nodes", "drivers", "jobs", "lines", "scale"), str(__doc__)))
