"""Which HTTP request a gRPC call stands for: both ends compute it, since it is what the signature covers."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.request import RequestHead, percent_encoded


def equivalent_head(
    method: str, bucket: str, object_name: str, headers: Iterable[tuple[str, str]], size: int | None = None
) -> RequestHead:
    """`METHOD /bucket/object` without a query. size: bytes of a put's body; None: not known."""
    path = f"/{percent_encoded(bucket.encode())}"
    if object_name:
        path += f"/{percent_encoded(object_name.encode(), keep='/')}"
    length: tuple[tuple[str, str], ...] = ()
    if method == "PUT" and object_name:
        length = (("transfer-encoding", "chunked"),) if size is None else (("content-length", str(size)),)
    return RequestHead(method, path, "", (*headers, *length))
