"""What the facility is asked to do, as plain data: the same for every workflow engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SLICES = 16
"""Height of the sample in slices; the beamline takes this many and the plan divides them."""

_JOBS = Path(__file__).resolve().parent / "jobs"


@dataclass(frozen=True)
class Step:
    """One job at the facility: a command line and the files it leaves behind (paths at the facility)."""

    name: str
    executable: str
    arguments: tuple[str, ...]
    directory: str
    output: str
    stdout: str
    stderr: str


def shares(slices: int, parts: int) -> list[range]:
    """Divide slices 0..slices-1 among parts: contiguous, each slice once, sizes differing by at most one."""
    if not 1 <= parts <= slices:
        raise ValueError(f"{slices} slices cannot be divided into {parts} parts: choose 1 to {slices}")
    edges = [part * slices // parts for part in range(parts + 1)]
    return [range(edges[part], edges[part + 1]) for part in range(parts)]


@dataclass(frozen=True)
class Reconstruction:
    """Projections up, some reconstruction jobs side by side, one job that assembles, the volume down.

    Attributes:
        directory: Working directory at the facility; absolute, and must exist before the jobs start.
        parts: Number of reconstruction jobs; slices are independent, so they need nothing of one another.
        python: The facility's Python with numpy and scikit-image.
        projections: The file of the beamline, on this side.
        slices: Height of the sample in slices.
    """

    directory: str
    parts: int = 4
    python: str = "python3"
    projections: str = "projections.npz"
    slices: int = SLICES

    def __post_init__(self) -> None:
        # A plan that cannot work is refused where it is written, not when its first job fails.
        shares(self.slices, self.parts)
        if not self.directory.startswith("/"):
            raise ValueError(f"directory at the facility must be absolute: {self.directory!r}")

    @property
    def uploads(self) -> dict[str, str]:
        """Local path -> path at the facility: the data and the two programs."""
        return {
            str(self.projections): self._at("projections.npz"),
            str(_JOBS / "reconstruct.py"): self._at("reconstruct.py"),
            str(_JOBS / "assemble.py"): self._at("assemble.py"),
        }

    @property
    def reconstruct(self) -> list[Step]:
        """The jobs that may run at the same time, one per share of slices."""
        return [
            self._step(
                f"reconstruct-{number}",
                "reconstruct.py",
                (self._at("projections.npz"), self._at(f"part-{number}.npz")),
                ("--slices", f"{share.start}:{share.stop}"),
                output=self._at(f"part-{number}.npz"),
            )
            for number, share in enumerate(shares(self.slices, self.parts))
        ]

    @property
    def assemble(self) -> Step:
        """The job that needs every part."""
        parts = tuple(step.output for step in self.reconstruct)
        return self._step("assemble", "assemble.py", parts, ("--output", self.result), output=self.result)

    @property
    def result(self) -> str:
        """Path of the assembled volume at the facility."""
        return self._at("volume.npz")

    def _at(self, name: str) -> str:
        return f"{self.directory.rstrip('/')}/{name}"

    def _step(self, name: str, program: str, *arguments: tuple[str, ...], output: str) -> Step:
        return Step(
            name=name,
            executable=self.python,
            arguments=(self._at(program), *(word for words in arguments for word in words)),
            directory=self.directory,
            output=output,
            stdout=self._at(f"{name}.out"),
            stderr=self._at(f"{name}.err"),
        )
