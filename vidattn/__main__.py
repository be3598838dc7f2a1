"""`python -m vidattn` is `vidattn`."""

import sys

from vidattn.cli.entry import main

if __name__ == "__main__":
    sys.exit(main())
