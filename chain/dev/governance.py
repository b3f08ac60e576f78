"""The rule for the storage parameters: only the authority named at genesis changes them."""

from __future__ import annotations

from chain.dev.codes import Code
from chain.dev.state import ParamsVersion, State
from sp.domain.ledger import ChainEvent, EventType
from sp.domain.messages import MsgUpdateParams


def update_params(state: State, message: MsgUpdateParams) -> list[ChainEvent]:
    """Valid from the next block on, which is then at least one second later: so a time has one set of parameters, and
    the objects of one time were all made under it."""
    if message.authority != state.genesis.authority:
        raise Code.NOT_AUTHORITY.refusal(message.authority)
    version = ParamsVersion(state.time_s + 1, message.params)
    if state.params[-1].valid_from == version.valid_from:
        state.params[-1] = version
    else:
        state.params.append(version)
    return [ChainEvent(state.height, EventType.PARAMS_CHANGED)]
