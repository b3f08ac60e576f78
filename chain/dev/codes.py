"""Why the chain refuses a transaction, with the network's codes (greenfield x/storage/types/errors.go, x/sp/types/
errors.go, x/virtualgroup/types/errors.go, types/errors/errors.go; cosmos-sdk types/errors)."""

from __future__ import annotations

from enum import Enum

from sp.domain.errors import TxRefused


class Code(Enum):
    """(codespace, code, text)"""

    TX_UNREADABLE = ("sdk", 2, "tx parse error")
    UNAUTHORIZED = ("sdk", 4, "unauthorized")
    INSUFFICIENT_FUNDS = ("sdk", 5, "insufficient funds")
    TX_IN_POOL = ("sdk", 19, "tx already in mempool")
    TX_TOO_LARGE = ("sdk", 21, "tx too large")
    WRONG_SEQUENCE = ("sdk", 32, "incorrect account sequence")

    INVALID_BUCKET_NAME = ("greenfield", 1000, "Invalid bucket name")
    INVALID_OBJECT_NAME = ("greenfield", 1001, "Invalid object name")
    INVALID_CHECKSUM = ("greenfield", 1003, "Invalid checksum")
    INVALID_CONTENT_TYPE = ("greenfield", 1004, "Invalid content type")
    INVALID_PRINCIPAL = ("greenfield", 1007, "Invalid principal")
    INVALID_PARAMETER = ("greenfield", 1009, "Invalid parameter")
    INVALID_ACTION = ("greenfield", 1011, "Invalid action type")

    NO_SUCH_BUCKET = ("storage", 1100, "No such bucket")
    NO_SUCH_OBJECT = ("storage", 1101, "No such object")
    BUCKET_EXISTS = ("storage", 1104, "Bucket already exists")
    OBJECT_EXISTS = ("storage", 1105, "Object already exists")
    ACCESS_DENIED = ("storage", 1107, "Access denied")
    ALREADY_SEALED = ("storage", 1108, "Object already sealed")
    BUCKET_NOT_EMPTY = ("storage", 1109, "Bucket is not empty")
    NO_SUCH_SP = ("storage", 1111, "No such storage provider")
    NOT_CREATED = ("storage", 1112, "Object not created")
    NOT_SEALED = ("storage", 1113, "Object not sealed")
    TOO_LARGE = ("storage", 1115, "Object payload size is too large")
    INVALID_APPROVAL = ("storage", 1116, "Invalid approval of sp")
    INVALID_VISIBILITY = ("storage", 1118, "Invalid visibility type")
    NO_SUCH_POLICY = ("storage", 1120, "No such policy")
    INVALID_GROUP = ("storage", 1123, "Invalid group of secondary storage providers")
    IS_UPDATING = ("storage", 1127, "Object is being updated")
    CHECKSUMS_MISSING = ("storage", 1130, "Object checksums are missing")

    SP_NOT_FOUND = ("sp", 1, "StorageProvider does not exist")
    SP_NOT_IN_SERVICE = ("sp", 2, "StorageProvider is not in service")
    SP_OPERATOR_EXISTS = ("sp", 3, "StorageProvider already exists for this operator address")
    SP_FUNDING_EXISTS = ("sp", 7, "StorageProvider already exists for this funding address")
    SP_SEAL_EXISTS = ("sp", 8, "StorageProvider already exists for this seal address")
    SP_APPROVAL_EXISTS = ("sp", 9, "StorageProvider already exists for this approval address")
    SP_GC_EXISTS = ("sp", 10, "StorageProvider already exists for this gc address")
    SP_EXIT_FAILED = ("sp", 13, "StorageProvider exit failed")
    SP_STATUS_FIXED = ("sp", 16, "StorageProvider status is not allow to change")
    SP_INVALID_ENDPOINT = ("sp", 42, "Invalid endpoint url")

    SP_CANNOT_EXIT = ("virtualgroup", 1108, "the sp can not exit now")
    SWAP_IN_FAILED = ("virtualgroup", 1129, "swap in failed")

    NOT_AUTHORITY = ("gov", 8, "expected gov account as only signer for proposal message")

    @property
    def codespace(self) -> str:
        return self.value[0]

    @property
    def number(self) -> int:
        return self.value[1]

    def refusal(self, facts: str = "") -> TxRefused:
        """What a rule raises. facts: names and numbers for the person who reads the log"""
        text = self.value[2]
        return TxRefused(self.codespace, self.number, f"{text}: {facts}" if facts else text)
