"""What hangs on a bucket or object as a query parameter and is truly not configured here, and what S3 answers then."""

from __future__ import annotations

from typing import Final

from gateway.s3_xml import document, element

MISSING_CONFIGURATIONS: Final = {
    "policy": "NoSuchBucketPolicy",
    "policyStatus": "NoSuchBucketPolicy",
    "cors": "NoSuchCORSConfiguration",
    "tagging": "NoSuchTagSet",
    "lifecycle": "NoSuchLifecycleConfiguration",
    "website": "NoSuchWebsiteConfiguration",
    "encryption": "ServerSideEncryptionConfigurationNotFoundError",
    "replication": "ReplicationConfigurationNotFoundError",
    "publicAccessBlock": "NoSuchPublicAccessBlockConfiguration",
    "ownershipControls": "OwnershipControlsNotFoundError",
    "object-lock": "ObjectLockConfigurationNotFoundError",
}
"""Of a bucket: the error that a GET has."""

EMPTY_CONFIGURATIONS: Final = {
    "versioning": document("VersioningConfiguration"),
    "logging": document("BucketLoggingStatus"),
    "notification": document("NotificationConfiguration"),
    "accelerate": document("AccelerateConfiguration"),
    "requestPayment": document("RequestPaymentConfiguration", element("Payer", "BucketOwner")),
}
"""Of a bucket: the document that a GET has."""

REMOVABLE_CONFIGURATIONS: Final = frozenset(
    {
        "policy",
        "cors",
        "tagging",
        "lifecycle",
        "website",
        "encryption",
        "replication",
        "publicAccessBlock",
        "ownershipControls",
    }
)
"""Of a bucket: a DELETE finds nothing to remove, and that is success."""

OBJECT_LOCKS: Final = frozenset({"retention", "legal-hold"})
"""Of an object: a GET is told that the bucket has no object lock."""
