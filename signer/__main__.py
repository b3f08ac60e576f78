"""`python -m signer --config sp.toml`: this service alone in a process."""

from signer.app import running
from sp.runtime.main import service_main

service_main("signer", running)
