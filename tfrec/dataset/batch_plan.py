"""How the rows of an epoch become batches, and each batch the shares of the workers."""

from __future__ import annotations

from dataclasses import dataclass

from tfrec.errors import ConfigError


@dataclass(frozen=True)
class BatchPlan:
    """Row counts alone: which rows these are is the business of who serves them.

    Every worker has the same number of steps, so that no synchronous step waits for one that has ended. Where the last
    batch has fewer rows than there are workers, the share of some in it is empty.

    Attributes:
        rows: of an epoch, all workers together.
        batch_size: of all workers together; the last batch of an epoch may be smaller.
        worker: number of this worker, from 0.
        workers: how many there are.

    """

    rows: int
    batch_size: int
    worker: int = 0
    workers: int = 1

    @classmethod
    def of(cls, rows: int, batch_size: int, shard: tuple[int, int]) -> BatchPlan:
        """Plan batches of at most `batch_size` rows for the worker `shard` = (number, how many).

        Raises:
            ConfigError: there are more workers than rows in a batch.

        """
        worker, workers = shard
        if not 0 <= worker < workers:
            raise ValueError(f"no shard {worker} of {workers}")
        size = max(1, min(batch_size, rows))
        if rows and size < workers:
            raise ConfigError(
                f"a batch of {size} rows cannot be shared by {workers} workers; raise train.batch_size "
                f"(the split has {rows} rows), or start fewer workers"
            )
        return cls(rows, size, worker, workers)

    @property
    def steps(self) -> int:
        return -(-self.rows // self.batch_size)

    @property
    def full_steps(self) -> int:
        """Steps with a batch of the full size."""
        return self.rows // self.batch_size

    @property
    def rows_in_last(self) -> int:
        """Rows of the smaller batch at the end; 0 if there is none."""
        return self.rows % self.batch_size

    def share(self, rows: int) -> slice:
        """The places of a batch of `rows` rows that are this worker's."""
        return slice(rows * self.worker // self.workers, rows * (self.worker + 1) // self.workers)

    @property
    def share_of_full(self) -> int:
        """Rows of this worker in a batch of the full size."""
        share = self.share(self.batch_size)
        return int(share.stop - share.start)

    @property
    def own(self) -> slice:
        """The rows of an epoch that are this worker's, where each has one run of them: as many as its shares."""
        full, last = self.share(self.batch_size), self.share(self.rows_in_last)
        return slice(self.full_steps * full.start + last.start, self.full_steps * full.stop + last.stop)

    @property
    def own_rows(self) -> int:
        return int(self.own.stop - self.own.start)
