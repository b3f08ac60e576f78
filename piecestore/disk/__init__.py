"""Pieces as files on a local file system; README.md of `piecestore` draws the layout."""

from piecestore.disk.store import DiskStore, open_disk_store

__all__ = ["DiskStore", "open_disk_store"]
