"""`python -m tasknode --config sp.toml`: this service alone in a process."""

from tasknode.app import running
from sp.runtime.process import service_main

service_main("tasknode", running)
