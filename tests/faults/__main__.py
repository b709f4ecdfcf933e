"""`python -m tests.faults [--quick] [NAME ...]`: try the promises about faults out, and print how far they were kept."""

import sys

from tests.faults.table import try_out

if __name__ == "__main__":
    sys.exit(try_out("tests.faults", ("kills", "driver", "storage", "numbers", "inputs", "cost"), str(__doc__)))
