"""A file system of paper, as far as guards need one."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field

from iri_common import NotFound, Refused
from iri_common.model.files import FileEntry, FileStat, FileText
from iri_common.model.outcome import Done


@dataclass
class PaperFiles:
    """A tree of paths to texts, None for a directory; ``failing`` is raised by operation."""

    tree: dict[str, str | None] = field(default_factory=dict)
    failing: dict[str, Exception] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    mtime: float = 0.0

    def _ask(self, operation: str, path: str) -> None:
        self.asked.append((operation, path))
        if operation in self.failing:
            raise self.failing[operation]

    def _found(self, path: str) -> str | None:
        if path not in self.tree:
            raise NotFound(f"no {path}", outcome="not found")
        return self.tree[path]

    async def ls(self, file_system, path):
        self._ask("ls", path)
        self._found(path)
        kinds = {each: "directory" if text is None else "file" for each, text in self.tree.items()}
        return Done(
            [FileEntry(each, kind) for each, kind in kinds.items() if posixpath.dirname(each) == path]
        )

    async def view(self, file_system, path, *, size, offset=0):
        self._ask("view", path)
        text = self._found(path)
        if text is None:
            raise Refused(f"{path} is a directory", outcome="invalid")
        return Done(FileText(text[:size]))

    async def mkdir(self, file_system, path, *, parents=False):
        self._ask("mkdir", path)
        if path in self.tree and not parents:
            raise Refused(f"{path} exists", outcome="invalid")
        self.tree.setdefault(path, None)
        return Done(None)

    async def stat(self, file_system, path):
        self._ask("stat", path)
        self._found(path)
        return Done(FileStat(size=0, mtime=self.mtime))

    async def rm(self, file_system, path):
        self._ask("rm", path)
        self._found(path)
        self.tree = {each: text for each, text in self.tree.items() if not f"{each}/".startswith(f"{path}/")}
        return Done(None)
