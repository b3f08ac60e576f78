"""A fair line: owners in turn, each owner's flows in turn, first come, first served within one flow."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """Whoever brings much waits behind his own: of N owners each gets every Nth turn, however much the others wait for.

    Not safe for several threads by itself.
    """

    def __init__(self) -> None:
        self._owners: OrderedDict[str, OrderedDict[str, deque[T]]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, owner: str, flow: str, item: T) -> None:
        self._owners.setdefault(owner, OrderedDict()).setdefault(flow, deque()).append(item)
        self._size += 1

    def head(self) -> T:
        """What `take` would give. There must be something."""
        flows = next(iter(self._owners.values()))
        return next(iter(flows.values()))[0]

    def take(self) -> T:
        """The next in turn. There must be something."""
        owner, flows = self._owners.popitem(last=False)
        flow, items = flows.popitem(last=False)
        item = items.popleft()
        if items:
            flows[flow] = items  # behind the owner's other flows
        if flows:
            self._owners[owner] = flows  # behind the other owners
        self._size -= 1
        return item

    def remove(self, owner: str, flow: str, item: T) -> None:
        """It waits no longer. ValueError, KeyError: it is not there."""
        flows = self._owners[owner]
        flows[flow].remove(item)
        if not flows[flow]:
            del flows[flow]
        if not flows:
            del self._owners[owner]
        self._size -= 1
