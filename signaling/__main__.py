"""`python -m signaling`: the same as `tollroom serve`."""

import sys

from signaling.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["serve"]))
