"""The model of a facility and the real clients lie beside the tests, the relay with the contracts."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "contract")]
