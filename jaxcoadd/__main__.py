"""Run the command as ``python -m jaxcoadd``."""

import sys

from jaxcoadd.cli import main

sys.exit(main())
