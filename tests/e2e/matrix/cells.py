"""Which process dies where: state of the put (or what else is under way) x service."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

SERVICES: Final = ("gateway", "uploader", "downloader", "tasknode", "receiver", "signer", "p2p", "chain")


class Row(Enum):
    """What is under way when the process dies. A state of the put stands for everything until the next state is
    stored; two states in one row are one transaction."""

    INIT = "INIT_UNSPECIFIED"
    UPLOAD_DOING = "UPLOAD_OBJECT_DOING"
    UPLOAD_DONE = "UPLOAD_OBJECT_DONE"
    ALLOC_DOING = "ALLOC_SECONDARY_DOING"
    REPLICATE_DOING = "ALLOC_SECONDARY_DONE, REPLICATE_OBJECT_DOING"
    REPLICATE_DONE = "REPLICATE_OBJECT_DONE"
    SIGN_DOING = "SIGN_OBJECT_DOING"
    SEAL_DOING = "SIGN_OBJECT_DONE, SEAL_OBJECT_TX_DOING"
    SEAL_DONE = "SEAL_OBJECT_DONE"
    OVERWRITE = "overwrite"
    MULTIPART = "upload in parts, completion"
    ABORT = "upload broken off, its collection"
    DELETE = "delete, its collection"
    READ = "read"
    REPAIR = "rebuild, repair"


class Scenario(Enum):
    """What the client does (tests/e2e/matrix/scenarios.py)."""

    PUT = "put"
    SMALL_PUT = "put of 4 KiB"
    LARGE_PUT = "put of 3 MiB"
    FIRST_PUT = "put through a gateway that has just started"
    OVERWRITE = "overwrite"
    SMALL_OVERWRITE = "overwrite of 4 KiB"
    MULTIPART = "multipart"
    ABORT = "abort"
    DELETE = "delete"
    READ = "read"
    REBUILD = "read of a damaged object"
    MEND = "sp repair of a secondary"


@dataclass(frozen=True, slots=True)
class Cell:
    """process: a pattern of the names of the processes that may die; primary: the SP that is asked
    quick: one of the few that `make test` runs
    """

    row: Row
    service: str
    point: str
    when: str
    scenario: Scenario
    process: str
    has: str = ""
    count: int = 1
    freeze: bool = False
    primary: str = "sp0"
    quick: bool = False

    @property
    def name(self) -> str:
        turn = f" {self.count}" if self.count > 1 else ""
        text = f" {self.has.rstrip('(')}" if self.has else ""
        freezes = " freezes" if self.freeze else ""
        whole = " with its whole SP" if self.process == OTHERS else ""
        where = f"{self.when} {self.point}{turn}{text}"
        return f"{self.row.name} {self.service}{whole}{freezes} {where} ({self.scenario.value})"


R, D = Row, Scenario
OTHERS: Final = "sp[1-7]"
"""Any secondary of sp0's objects: one process with all of its services."""


def _cell(
    row: Row,
    service: str,
    when_and_point: str,
    scenario: Scenario = D.PUT,
    has: str = "",
    count: int = 1,
    quick: bool = False,
) -> Cell:
    when, point = when_and_point.split()
    process = "chain" if service == "chain" else f"sp0-{service}"
    return Cell(row, service, point, when, scenario, process, has, count, quick=quick)


def _as_secondary(
    row: Row,
    service: str,
    when_and_point: str,
    scenario: Scenario = D.PUT,
    has: str = "",
    count: int = 1,
    quick: bool = False,
) -> Cell:
    """sp0 keeps a column of an object of sp1."""
    when, point = when_and_point.split()
    return Cell(row, service, point, when, scenario, f"sp0-{service}", has, count, primary="sp1", quick=quick)


CELLS: Final = (
    # --- gateway
    _cell(R.INIT, "gateway", "before UploaderClient.put"),
    _cell(R.UPLOAD_DOING, "gateway", "before CheckedBody._check_not_longer", D.LARGE_PUT, count=3),
    _cell(R.UPLOAD_DONE, "gateway", "after UploaderClient.put", quick=True),
    _cell(R.OVERWRITE, "gateway", "after UploaderClient.put", D.OVERWRITE),
    _cell(R.MULTIPART, "gateway", "after MultipartClient.create", D.MULTIPART),
    _cell(R.MULTIPART, "gateway", "after MultipartClient.put_part", D.MULTIPART, count=2),
    _cell(R.MULTIPART, "gateway", "before MultipartClient.complete", D.MULTIPART),
    _cell(R.MULTIPART, "gateway", "after MultipartClient.complete", D.MULTIPART),
    _cell(R.DELETE, "gateway", "before TaskNodeClient.delete_object", D.DELETE),
    _cell(R.DELETE, "gateway", "after TaskNodeClient.delete_object", D.DELETE),
    _cell(R.READ, "gateway", "after DownloaderClient.head", D.READ),
    # --- uploader
    _cell(R.INIT, "uploader", "before Jobs.begin_upload"),
    _cell(R.UPLOAD_DOING, "uploader", "after Jobs.begin_upload"),
    _cell(R.INIT, "uploader", "before Jobs.put_small", D.SMALL_PUT),
    _cell(R.UPLOAD_DONE, "uploader", "after Jobs.put_small", D.SMALL_PUT, quick=True),
    _cell(R.UPLOAD_DOING, "uploader", "before TemporaryPiece.publish", count=2),
    _cell(R.UPLOAD_DOING, "uploader", "after TemporaryPiece.publish", count=2, quick=True),
    _cell(R.UPLOAD_DOING, "uploader", "before Jobs.finish_upload"),
    _cell(R.UPLOAD_DONE, "uploader", "after Jobs.finish_upload"),
    _cell(R.UPLOAD_DONE, "uploader", "after TaskNodeClient.notify"),
    _cell(R.OVERWRITE, "uploader", "before Jobs.finish_upload", D.OVERWRITE),
    _cell(R.OVERWRITE, "uploader", "after Jobs.finish_upload", D.OVERWRITE, quick=True),
    _cell(R.OVERWRITE, "uploader", "after DiskStore.delete", D.OVERWRITE, count=2),
    _cell(R.OVERWRITE, "uploader", "before Jobs.collected", D.OVERWRITE),
    _cell(R.OVERWRITE, "uploader", "after Jobs.put_small", D.SMALL_OVERWRITE),
    _cell(R.OVERWRITE, "uploader", "after SmallSegments.delete", D.SMALL_OVERWRITE),
    _cell(R.MULTIPART, "uploader", "after MultipartUploads.create", D.MULTIPART),
    _cell(R.MULTIPART, "uploader", "after MultipartUploads.begin_part", D.MULTIPART),
    _cell(R.MULTIPART, "uploader", "before MultipartUploads.finish_part", D.MULTIPART, count=2),
    _cell(R.MULTIPART, "uploader", "after MultipartUploads.finish_part", D.MULTIPART, count=2),
    _cell(R.MULTIPART, "uploader", "after MultipartUploads.claim", D.MULTIPART),
    _cell(R.MULTIPART, "uploader", "before MultipartUploads.complete", D.MULTIPART),
    _cell(R.MULTIPART, "uploader", "after MultipartUploads.complete", D.MULTIPART),
    _cell(R.MULTIPART, "uploader", "before MultipartUploads.forget_part", D.MULTIPART),
    _cell(R.ABORT, "uploader", "before Jobs.fail_upload", D.ABORT),
    _cell(R.ABORT, "uploader", "after Jobs.fail_upload", D.ABORT),
    _cell(R.ABORT, "uploader", "after DiskStore.delete", D.ABORT, count=2),
    _cell(R.ABORT, "uploader", "before Jobs.collected", D.ABORT),
    _cell(R.ABORT, "uploader", "before Jobs.forget", D.ABORT),
    _cell(R.DELETE, "uploader", "after DiskStore.delete", D.DELETE, count=2),
    _cell(R.DELETE, "uploader", "before Jobs.collected", D.DELETE),
    # --- downloader
    _cell(R.READ, "downloader", "before DownloaderService.head", D.READ),
    _cell(R.READ, "downloader", "after DiskStore.get", D.READ, count=2),
    _cell(R.DELETE, "downloader", "before DownloaderService.head", D.DELETE),
    _cell(R.REPAIR, "downloader", "before Rebuilder._write_back", D.REBUILD),
    _cell(R.REPAIR, "downloader", "after DiskStore.delete", D.REBUILD, quick=True),
    _cell(R.REPAIR, "downloader", "before TemporaryPiece.publish", D.REBUILD),
    _cell(R.REPAIR, "downloader", "after TemporaryPiece.publish", D.REBUILD),
    # --- tasknode
    _cell(R.UPLOAD_DONE, "tasknode", "after Jobs.take"),
    _cell(R.UPLOAD_DONE, "tasknode", "before Jobs.move", has="ALLOCATION_STARTED"),
    _cell(R.ALLOC_DOING, "tasknode", "after Jobs.move", has="ALLOCATION_STARTED"),
    _cell(R.ALLOC_DOING, "tasknode", "before Jobs.choose_secondaries"),
    _cell(R.REPLICATE_DOING, "tasknode", "after Jobs.choose_secondaries"),
    _cell(R.REPLICATE_DOING, "tasknode", "after Jobs.secondary_started", count=3),
    _cell(R.REPLICATE_DOING, "tasknode", "before Jobs.secondary_done"),
    _cell(R.REPLICATE_DOING, "tasknode", "after Jobs.secondary_done", count=4, quick=True),
    _cell(R.REPLICATE_DOING, "tasknode", "before Jobs.move", has="ALL_SECONDARIES_SIGNED"),
    _cell(R.REPLICATE_DONE, "tasknode", "after Jobs.move", has="ALL_SECONDARIES_SIGNED"),
    _cell(R.REPLICATE_DONE, "tasknode", "before Jobs.move", has="SIGNING_STARTED"),
    _cell(R.SIGN_DOING, "tasknode", "after Jobs.move", has="SIGNING_STARTED"),
    _cell(R.SIGN_DOING, "tasknode", "before Jobs.move", has="SEAL_BROADCAST"),
    _cell(R.SEAL_DOING, "tasknode", "after Jobs.move", has="SEAL_BROADCAST"),
    _cell(R.SEAL_DOING, "tasknode", "before Jobs.move", has="SEAL_SEEN"),
    _cell(R.SEAL_DONE, "tasknode", "after Jobs.move", has="SEAL_SEEN"),
    _cell(R.OVERWRITE, "tasknode", "before Jobs.choose_secondaries", D.OVERWRITE),
    _cell(R.OVERWRITE, "tasknode", "before Jobs.move", D.OVERWRITE, has="SEAL_SEEN"),
    _cell(R.DELETE, "tasknode", "before Objects.remove", D.DELETE),
    _cell(R.DELETE, "tasknode", "after Objects.remove", D.DELETE),
    _cell(R.DELETE, "tasknode", "before Deletions.done", D.DELETE),
    # --- receiver: sp0's own, and the whole of another SP
    _as_secondary(R.REPLICATE_DOING, "receiver", "after Received.open"),
    _as_secondary(R.REPLICATE_DOING, "receiver", "before TemporaryPiece.publish", count=2),
    _as_secondary(R.REPLICATE_DOING, "receiver", "after TemporaryPiece.publish", count=2),
    _as_secondary(R.REPLICATE_DOING, "receiver", "after Received.add_pieces", count=2),
    _as_secondary(R.REPLICATE_DOING, "receiver", "before Received.sign"),
    _as_secondary(R.REPLICATE_DOING, "receiver", "after Received.sign"),
    Cell(R.REPLICATE_DOING, "receiver", "Received.sign", "before", D.PUT, OTHERS),
    Cell(R.REPLICATE_DOING, "receiver", "Received.sign", "before", D.PUT, OTHERS, freeze=True, quick=True),
    _as_secondary(R.SEAL_DONE, "receiver", "before Received.mark_sealed"),
    _as_secondary(R.OVERWRITE, "receiver", "before Received.forget", D.OVERWRITE),
    _as_secondary(R.DELETE, "receiver", "after DiskStore.delete", D.DELETE, count=2),
    _as_secondary(R.DELETE, "receiver", "before Received.forget", D.DELETE),
    _as_secondary(R.REPAIR, "receiver", "before Mender._write", D.MEND),
    _as_secondary(R.REPAIR, "receiver", "after DiskStore.delete", D.MEND),
    _as_secondary(R.REPAIR, "receiver", "after TemporaryPiece.publish", D.MEND),
    # --- signer
    _cell(R.INIT, "signer", "before SignerService.sigv4_key", D.FIRST_PUT),
    _cell(R.ALLOC_DOING, "signer", "before SignerService.submit"),
    _cell(R.ALLOC_DOING, "signer", "after DevChainClient.broadcast"),
    _as_secondary(R.ALLOC_DOING, "signer", "before SignerService.sign", has="[Approval("),
    _cell(R.REPLICATE_DOING, "signer", "before SignerService.sign", has="[Offer(", count=2),
    _as_secondary(R.REPLICATE_DOING, "signer", "before SignerService.sign", has="[ReceiptDoc("),
    _as_secondary(R.REPLICATE_DOING, "signer", "after SignerService.sign", has="[ReceiptDoc("),
    _cell(R.SIGN_DOING, "signer", "before SignerService.submit", has="[MsgSealObject("),
    _cell(R.SIGN_DOING, "signer", "after DevChainClient.broadcast", count=2, quick=True),
    _cell(R.OVERWRITE, "signer", "after DevChainClient.broadcast", D.OVERWRITE),
    _cell(R.DELETE, "signer", "before SignerService.submit", D.DELETE, has="[MsgDeleteObject("),
    _cell(R.DELETE, "signer", "after DevChainClient.broadcast", D.DELETE),
    # --- p2p
    _cell(R.ALLOC_DOING, "p2p", "before P2PService.get_approvals", quick=True),
    _cell(R.ALLOC_DOING, "p2p", "after P2PService.get_approvals"),
    _as_secondary(R.ALLOC_DOING, "p2p", "before P2PService.answer"),
    _as_secondary(R.ALLOC_DOING, "p2p", "after P2PService.answer"),
    _cell(R.REPLICATE_DOING, "p2p", "after P2PService.report_peer", count=2),
    _cell(R.OVERWRITE, "p2p", "after P2PService.get_approvals", D.OVERWRITE),
    # --- chain
    _cell(R.ALLOC_DOING, "chain", "after Node.broadcast"),
    _cell(R.ALLOC_DOING, "chain", "before Store.append"),
    _cell(R.ALLOC_DOING, "chain", "after Store.append"),
    _cell(R.SIGN_DOING, "chain", "after Node.broadcast", count=2),
    _cell(R.SEAL_DOING, "chain", "before Store.append", count=2),
    _cell(R.SEAL_DOING, "chain", "after Store.append", count=2, quick=True),
    _cell(R.OVERWRITE, "chain", "after Store.append", D.OVERWRITE),
    _cell(R.DELETE, "chain", "before Store.append", D.DELETE),
    _cell(R.DELETE, "chain", "after Store.append", D.DELETE),
)
