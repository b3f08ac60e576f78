"""`python -m tasknode --config sp.toml`: this service alone in a process."""

from sp.runtime.main import service_main
from tasknode.app import running

service_main("tasknode", running)
