"""``python -m gitxexp``."""

import sys

from gitxexp.entry import main

sys.exit(main())
