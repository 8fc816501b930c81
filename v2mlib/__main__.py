"""``python -m v2mlib`` is ``v2m``."""

import sys

from v2mlib.cli import main

if __name__ == "__main__":
    sys.exit(main())
