"""The XML that clients send: read by defusedxml, with or without S3's namespace."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from gateway.errors import MalformedXml

__all__ = ["Element", "children", "local", "only", "parsed", "text"]


def parsed(body: bytes, name: str) -> Element:
    """The root of a document that is called `name`. MalformedXml, also for one with a DTD.

    Names with characters that XML 1.0 does not have cannot be sent (S3 refuses such a document too).
    """
    try:
        root: Element = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, LookupError, ValueError) as error:  # LookupError: an encoding unheard of
        raise MalformedXml(type(error).__name__) from error
    if local(root) != name:
        raise MalformedXml(f"{name} is expected")
    return root


def local(element: Element) -> str:
    """Its name without the namespace."""
    return element.tag.rpartition("}")[2]


def children(element: Element, name: str) -> Iterator[Element]:
    return (child for child in element if local(child) == name)


def only(element: Element, name: str) -> Element:
    """The child of this name. MalformedXml when there is none, or more than one."""
    found = list(children(element, name))
    if len(found) != 1:
        raise MalformedXml(f"{local(element)} has one {name}")
    return found[0]


def text(element: Element, name: str, default: str | None = None) -> str:
    """Of the first child of this name, blanks and all. MalformedXml when there is none and no default."""
    for child in children(element, name):
        return child.text or ""
    if default is None:
        raise MalformedXml(f"{local(element)} has no {name}")
    return default
