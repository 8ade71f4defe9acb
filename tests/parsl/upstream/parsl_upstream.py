"""Parsl's own test fixtures, for a newer pytest than Parsl's conftest was written for.

Loaded with ``-p`` in place of that conftest: it declares a hook with an argument that pytest 9 took away, and
is found too late to declare its ``--config`` option.
"""

from parsl.tests.conftest import *  # noqa: F403
from parsl.tests.conftest import pytest_ignore_collect

del pytest_ignore_collect
