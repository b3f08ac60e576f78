"""`python -m uploader --config sp.toml`: this service alone in a process."""

from uploader.app import running
from sp.runtime.process import service_main

service_main("uploader", running)
