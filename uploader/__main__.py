"""`python -m uploader --config sp.toml`: this service alone in a process."""

from sp.runtime.main import service_main
from uploader.app import running

service_main("uploader", running)
