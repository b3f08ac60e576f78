"""The kernel that every service of a Greenfield storage provider is built on. See README.md beside this file."""

from typing import Final

__version__: Final = "0.1.0"
