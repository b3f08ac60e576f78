"""Settings of the TaskNode, table [tasknode] of sp.toml."""

from __future__ import annotations

from dataclasses import dataclass

from sp.domain.retry import RetryPolicy


@dataclass(frozen=True, slots=True)
class TaskNodeConfig:
    """max_jobs: at work at once in this process; max_waiting_jobs: that wait for a block, or for
        providers that can be reached, besides these
    memory_bytes: of segments and parity in flight over all jobs; while there are any, the memory of two segments may be
        kept beside that (tasknode.memory)
    lease_ms: a job whose task node vanished is taken over this long after its last sign of life
    poll_interval_s: how often the job table is read when nobody notifies
    spares: approvals asked for beyond those needed
    reach_wait_s: how long a job waits aside when too few providers can be reached, before it asks again
    open_timeout_s: for a secondary to answer an offer
    piece_timeout_s: for a secondary to take one piece, or to sign for the whole group
    group_timeout_s: for one replicate data group from offer to receipt
    create_timeout_blocks, seal_timeout_blocks: how many blocks a transaction may take to appear
    retry_first_delay_ms, retry_max_delay_ms, retry_max_attempts, give_up_after_ms: the retry policy of a step
    deletion_interval_s: how often pending deletions, chain events and columns to be taken over are looked at when
      nothing wakes them
    swap_ins_at_once: columns that other providers take over at the same time from those that leave
    swap_in_bytes_per_s: how fast segments are read for that, 0: as fast as it goes; swap_in_memory_bytes: of segments
      and parity in flight for it
    swap_in_pause_s: from the end of one walk over all objects, to find such columns, to the start of the next
    """

    max_jobs: int = 32
    max_waiting_jobs: int = 256
    memory_bytes: int = 64 * 1024 * 1024
    lease_ms: int = 15_000
    poll_interval_s: float = 2.0
    spares: int = 2
    reach_wait_s: float = 5.0
    open_timeout_s: float = 10.0
    piece_timeout_s: float = 20.0
    group_timeout_s: float = 3600.0
    create_timeout_blocks: int = 10
    seal_timeout_blocks: int = 10
    retry_first_delay_ms: int = 1_000
    retry_max_delay_ms: int = 300_000
    retry_max_attempts: int = 40
    give_up_after_ms: int = 24 * 3_600_000
    deletion_interval_s: float = 2.0
    swap_ins_at_once: int = 2
    swap_in_bytes_per_s: int = 20_000_000
    swap_in_memory_bytes: int = 32 * 1024 * 1024
    swap_in_pause_s: float = 600.0

    @property
    def retry(self) -> RetryPolicy:
        return RetryPolicy(
            self.retry_first_delay_ms, self.retry_max_delay_ms, self.retry_max_attempts, self.give_up_after_ms
        )
