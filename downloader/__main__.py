"""`python -m downloader --config sp.toml`: this service alone in a process."""

from downloader.app import running
from sp.runtime.main import service_main

service_main("downloader", running)
