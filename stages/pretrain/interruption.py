"""SIGTERM and SIGUSR1: save first. A bonus where they arrive; saves by time carry what must not be lost."""

import signal
import threading
from types import FrameType, TracebackType

from stages.pretrain.rank_failure import TerminatedError
from stages.pretrain.ranks import Ranks


class Interruption:
    """Notes signals between `with` and its end; the loop asks after each step.

    SIGUSR1 (`sbatch --signal`): save and go on. SIGTERM (preemption, time limit): save and stop. With several ranks
    torchrun ends all after either, so both stop; only rank 0 decides, the others go on until it has left.
    """

    def __init__(self, ranks: Ranks) -> None:
        self._alone = ranks.world == 1
        self.save = self.stop = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGUSR1)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.save = True
        self.stop = self.stop or number == signal.SIGTERM or not self._alone

    def saved(self, step: int) -> None:
        """After a save: raises TerminatedError where the training was told to stop."""
        self.save = False
        if self.stop:
            raise TerminatedError(f"told to stop by a signal; saved at step {step}, the next attempt goes on there")
