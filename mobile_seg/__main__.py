"""`python -m mobile_seg` is `mobile-seg`."""

import sys

from mobile_seg.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
