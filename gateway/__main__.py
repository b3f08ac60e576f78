"""`python -m gateway --config sp.toml`: this service alone in a process."""

from gateway.app import running
from sp.runtime.main import service_main

service_main("gateway", running)
