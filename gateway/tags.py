"""Tag sets: as a header, as XML, and what S3 lets them be. Pure."""

from __future__ import annotations

import re
from typing import Final

from gateway import xml_in
from gateway.errors import InvalidArgument, InvalidTag
from gateway.request import RequestHead, parse_query
from gateway.s3_xml import document, element

MAX_TAGS: Final = 10
MAX_KEY: Final = 128
MAX_VALUE: Final = 256
"""Characters."""

MAX_XML_BYTES: Final = 65_536
TAGGING: Final = "x-amz-tagging"
_ALLOWED = re.compile(r"[\w\s+\-=.:/@]*")  # letters, digits and blanks of any script, and _ + - = . : / @


def tags_of_header(head: RequestHead) -> dict[str, str]:
    """From x-amz-tagging: a query string. InvalidTag, InvalidArgument."""
    try:
        given = [(name.decode(), value.decode()) for name, value in parse_query(head.header(TAGGING))]
    except UnicodeDecodeError as error:
        raise InvalidArgument(TAGGING, "it is not UTF-8") from error
    return checked(given)


def tags_of_xml(body: bytes) -> dict[str, str]:
    """From a Tagging document. MalformedXml, InvalidTag."""
    tag_set = xml_in.only(xml_in.parsed(body, "Tagging"), "TagSet")
    return checked([(xml_in.text(tag, "Key"), xml_in.text(tag, "Value")) for tag in xml_in.children(tag_set, "Tag")])


def checked(given: list[tuple[str, str]]) -> dict[str, str]:
    """The tag set. InvalidTag for one that S3 does not take."""
    if len(given) > MAX_TAGS:
        raise InvalidTag(f"an object has at most {MAX_TAGS} tags")
    for key, value in given:
        if not 1 <= len(key) <= MAX_KEY or not _ALLOWED.fullmatch(key):
            raise InvalidTag(f"a key has 1 to {MAX_KEY} letters, digits, blanks or _ . : / = + - @")
        if len(value) > MAX_VALUE or not _ALLOWED.fullmatch(value):
            raise InvalidTag(f"a value has at most {MAX_VALUE} letters, digits, blanks or _ . : / = + - @")
        if key.lower().startswith("aws:"):
            raise InvalidTag("keys that start with aws: are not for users")
    tags = dict(given)
    if len(tags) != len(given):
        raise InvalidTag("a key comes twice")
    return tags


def tagging(tags: dict[str, str]) -> bytes:
    """A Tagging document, by key."""
    rows = (f"<Tag>{element('Key', key)}{element('Value', tags[key])}</Tag>" for key in sorted(tags))
    return document("Tagging", f"<TagSet>{''.join(rows)}</TagSet>")
