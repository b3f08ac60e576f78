"""`python -m receiver --config sp.toml`: this service alone in a process."""

from receiver.app import running
from sp.runtime.main import service_main

service_main("receiver", running)
