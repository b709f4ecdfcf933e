"""`python -m rl_rmsprop`: the command line, see rl_rmsprop/cli/."""

import sys

from rl_rmsprop.cli import main

if __name__ == "__main__":
    sys.exit(main())
