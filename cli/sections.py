"""Every section of sp.toml and the dataclass that it is read into."""

from __future__ import annotations


def all_sections() -> dict[str, type]:
    """In the order in which `sp config dump` prints them."""
    from chain.config import ChainConfig
    from downloader.config import DownloaderConfig
    from gateway.config import GatewayConfig
    from p2p.config import P2PConfig
    from piecestore.config import PieceStoreConfig
    from receiver.config import ReceiverConfig
    from signer.config import SignerConfig
    from sp.runtime.config import COMMON_SECTIONS
    from tasknode.config import TaskNodeConfig
    from uploader.config import UploaderConfig

    return {
        **COMMON_SECTIONS,
        "chain": ChainConfig,
        "piece_store": PieceStoreConfig,
        "gateway": GatewayConfig,
        "uploader": UploaderConfig,
        "downloader": DownloaderConfig,
        "tasknode": TaskNodeConfig,
        "receiver": ReceiverConfig,
        "signer": SignerConfig,
        "p2p": P2PConfig,
    }
