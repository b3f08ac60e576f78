"""`python -m p2p --config sp.toml`: this service alone in a process."""

from p2p.app import running
from sp.runtime.main import service_main

service_main("p2p", running)
