"""Tensors of a file into an encoder by name, and what of both was used, missing and left over."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from stages.common.errors import InputError

_NAMED = 3  # first names in a line or message


@dataclass(frozen=True)
class LoadReport:
    """Names of tensors: `missing` stay as initialised, `unexpected` of the file are left out."""

    source: Path
    used: list[str]
    missing: list[str]
    unexpected: list[str]
    notes: tuple[str, ...] = ()  # what was adapted, a line each

    def lines(self) -> list[str]:
        counts = f"{len(self.used)} tensors used"
        for kind, names in (("missing", self.missing), ("unexpected", self.unexpected)):
            counts += f", {len(names)} {kind}" + (f" ({first_of(names)})" if names else "")
        return [f"{self.source}: {counts}", *(f"{self.source}: {note}" for note in self.notes)]


def load_tensors(
    module: nn.Module, tensors: dict[str, Tensor], source: Path, expected: str, may_be_missing: str | None = None
) -> LoadReport:
    """Copy `tensors` into `module`.

    `expected` says in words what `module` is. A tensor of another shape, or one that `tensors` lacks and whose name
    does not start with `may_be_missing`, is an InputError: these are weights of another architecture.
    """
    own = module.state_dict()
    used = [name for name in own if name in tensors]
    missing = [name for name in own if name not in tensors]
    other = [
        f"{name} is {tuple(tensors[name].shape)}, must be {tuple(own[name].shape)}"
        for name in used
        if tensors[name].shape != own[name].shape
    ]
    lacking = [name for name in missing if may_be_missing is None or not name.startswith(may_be_missing)]
    if other or lacking:
        reason = (
            f"{len(other)} shapes differ: {first_of(other)}" if other else f"lacks {len(lacking)}: {first_of(lacking)}"
        )
        raise InputError(
            f"{source}: no weights of {expected} ({reason}); correct the architecture or sizes in pretrain.model, or "
            "take the weights that belong to them"
        )
    module.load_state_dict({name: tensors[name] for name in used}, strict=False)
    return LoadReport(source, used, missing, [name for name in tensors if name not in own])


def first_of(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
