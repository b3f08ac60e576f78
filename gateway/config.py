"""The `[gateway]` section."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sp.domain.errors import ConfigError


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """Where and how the gateway listens, and its limits.

    http_address:        host:port for S3 and Greenfield clients; port 0 takes a free one
    processes:           that serve clients, this one and further ones that `sp run` starts (cli/fronts.py); every limit
                         here, of the uploader and of the downloader counts for each
    reuse_port:          several processes listen at http_address, and the kernel spreads the connections over them;
                         what further processes imply
    tls_certificate, tls_key: PEM files; with them the gateway speaks HTTPS (and only that) at http_address
    domain_name:         buckets are also `{bucket}.{domain_name}`; "" serves path style only
    region:              the region that an S3 credential must name
    max_requests:        requests at work at once; one more is answered 503 SlowDown
    max_connections:     open at once; one more takes the place of the one that has been idle longest, or is refused
    max_header_bytes:    of the request line, and of all headers together
    idle_timeout_s:      a connection may be silent so long before its first request and between requests
    head_timeout_s:      from the first bytes of a head to its end
    body_progress_s, body_progress_bytes: a body must bring that many bytes in that time, or end
    body_total_s:        all waiting for one body together
    write_timeout_s:     a reader that takes nothing for so long is cut off
    linger_s:            how long an unread body is read and dropped, so that its sender sees our error
    shutdown_s:          requests at work may take so long to end when the process stops
    clock_skew_s:        how far a SigV4 signing time may lie from ours
    signing_keys_cached: derived SigV4 keys remembered
    wait_blocks:         blocks that a bucket's transaction may take
    bucket_empties_s:    how long a bucket's deletion waits, at least, for objects to leave the chain that are gone here
    blank_interval_s:    an answer that takes longer (a copy) begins, and sends a blank so often
    etag_md5_max_bytes:  the ETag of a put up to this size is the MD5 of its bytes; 0: of empty ones only
    """

    http_address: str = "127.0.0.1:9033"
    processes: int = 1
    reuse_port: bool = False
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    domain_name: str = ""
    region: str = "us-east-1"
    max_requests: int = 512
    max_connections: int = 4096
    max_header_bytes: int = 16_384
    read_buffer_bytes: int = 1_048_576
    idle_timeout_s: float = 75.0
    head_timeout_s: float = 20.0
    body_progress_s: float = 30.0
    body_progress_bytes: int = 65_536
    body_total_s: float = 21_600.0
    write_timeout_s: float = 60.0
    linger_s: float = 5.0
    shutdown_s: float = 20.0
    clock_skew_s: int = 900
    signing_keys_cached: int = 4096
    wait_blocks: int = 10
    bucket_empties_s: int = 20
    blank_interval_s: float = 5.0
    etag_md5_max_bytes: int = 16_777_216  # one segment

    def __post_init__(self) -> None:
        for name in (
            "processes",
            "max_requests",
            "max_header_bytes",
            "read_buffer_bytes",
            "signing_keys_cached",
            "wait_blocks",
        ):
            if getattr(self, name) < 1:
                raise ConfigError(f"gateway.{name}", "must be at least 1")
        if self.max_connections < 1:
            raise ConfigError("gateway.max_connections", "must be at least 1")
        for name in (
            "idle_timeout_s",
            "head_timeout_s",
            "body_progress_s",
            "body_total_s",
            "write_timeout_s",
            "blank_interval_s",
        ):
            if getattr(self, name) <= 0:
                raise ConfigError(f"gateway.{name}", "must be above 0")
        for name in ("bucket_empties_s", "etag_md5_max_bytes"):
            if getattr(self, name) < 0:
                raise ConfigError(f"gateway.{name}", "must not be negative")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ConfigError("gateway.tls_certificate", "goes with gateway.tls_key: give both or neither")
        host, colon, port = self.http_address.rpartition(":")
        if not (host and colon and port.isdigit()):
            raise ConfigError("gateway.http_address", "must be host:port")
        if self.processes > 1 and not int(port):
            raise ConfigError("gateway.http_address", "needs a port when there are several gateway.processes")
