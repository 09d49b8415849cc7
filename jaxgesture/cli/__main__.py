"""`python -m jaxgesture.cli` is `jaxgesture`."""

import sys

from jaxgesture.cli.main import main

sys.exit(main())
