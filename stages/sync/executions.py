"""What MLflow shows as one run: a journal, or the journals of a scattered stage together."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stages.common.digests import digest_of
from stages.common.journals import FoundJournal

Place = tuple[str, str]  # stage and name


@dataclass(frozen=True)
class Execution:
    """`main` is the journal of the stage, or of the job that gathers its parts; None while there are only parts."""

    stage: str
    name: str
    main: FoundJournal | None
    parts: tuple[FoundJournal, ...] = ()  # the last one of each part that began before `main`
    own: tuple[FoundJournal, ...] = ()  # of these, what ran for this execution; the others were kept from one before
    former_key: str | None = None  # under which it was shown while it had parts alone

    @property
    def key(self) -> str:
        return self.main.journal.key if self.main else _key_of_parts(self.stage, self.name, self.own)

    @property
    def ran(self) -> tuple[FoundJournal, ...]:
        """The journals of what ran for it."""
        return (*self.own, *([self.main] if self.main else []))

    @property
    def first(self) -> FoundJournal:
        return self.main or self.own[0]

    @property
    def started(self) -> int:
        return min(each.journal.started for each in self.ran)

    @property
    def invocation(self) -> str | None:
        """Id of the call of the workflow that ran it last; None: a stage that somebody ran by hand."""
        return max(self.ran, key=lambda each: each.journal.started).journal.tags.get("invocation")


def executions(found: Iterable[FoundJournal]) -> list[Execution]:
    """One for every run of a stage, oldest first. A part's name is that of its stage's run, "/", its own."""
    mains: dict[Place, list[FoundJournal]] = defaultdict(list)
    parts: dict[Place, list[FoundJournal]] = defaultdict(list)
    for each in sorted(found, key=lambda each: (each.journal.started, each.journal.key)):
        journal = each.journal
        if each.is_part:
            parts[journal.stage, journal.name.rpartition("/")[0]].append(each)
        else:
            mains[journal.stage, journal.name].append(each)
    result = []
    for place in {**mains, **parts}:
        result += _of_place(*place, mains[place], parts[place])
    return sorted(result, key=lambda each: (each.started, each.key))


def _of_place(
    stage: str, name: str, mains: Sequence[FoundJournal], parts: Sequence[FoundJournal]
) -> Iterable[Execution]:
    last_began = -1
    for main in mains:
        began = main.journal.started
        own = [each for each in parts if last_began < each.journal.started <= began]
        former = _key_of_parts(stage, name, own) if own else None
        yield Execution(stage, name, main, _last_of_each(parts, began), tuple(own), former)
        last_began = began
    if own := [each for each in parts if each.journal.started > last_began]:
        yield Execution(stage, name, None, _last_of_each(parts, own[-1].journal.started), tuple(own))


def _last_of_each(parts: Sequence[FoundJournal], until: int) -> tuple[FoundJournal, ...]:
    last = {each.journal.name: each for each in parts if each.journal.started <= until}
    return tuple(last[name] for name in sorted(last, key=lambda name: (len(name), name)))


def _key_of_parts(stage: str, name: str, own: Sequence[FoundJournal]) -> str:
    """The same however many parts there are yet: the first one began when it did."""
    return digest_of(["parts", stage, name, own[0].journal.started])
