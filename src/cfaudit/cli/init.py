"""A repository in, the files that make cfaudit part of it out; what is there already is left as it is."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple, TypedDict

import typer

from cfaudit.cli.shell import StopError, app
from cfaudit.config import NAMES, find_config
from cfaudit.nodes import TemplateError
from cfaudit.sources.files import inputs, may_be_template, read

STARTERS = Path(__file__).parent.parent / "starters"
PLACEHOLDER, REPOSITORY, REVISION, TEMPLATES = (
    "OWNER/cfaudit",
    "https://github.com/OWNER/cfaudit",
    "v0.1.0",
    "templates/",
)
MOST = 5
"""More paths than these are not listed: the whole repository is audited."""

_GITHUB = re.compile(r"(?:https://|ssh://git@)github\.com/(?P<name>[\w.-]+/[\w.-]+?)(?:\.git)?/?")
_PLAIN = re.compile(r"(?!-)[\w./-]+")
_URL = re.compile(r"[a-z]+://[\w.:/@~%+-]+")


class Vcs(TypedDict, total=False):
    """The part of ``direct_url.json`` about version control."""

    vcs: str
    requested_revision: str
    commit_id: str


class DirectUrl(TypedDict, total=False):
    """What pip writes down of an install that no index served."""

    url: str
    vcs_info: Vcs


class Origin(NamedTuple):
    """The git repository and the revision that cfaudit was installed from."""

    url: str
    revision: str


class File(NamedTuple):
    """A file that is to be there: its text, and what to add to one that is there without a word of cfaudit."""

    path: Path
    text: str
    addition: str


@app.command()
def init(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing; print what would be written.")] = False,
) -> None:
    """Write configuration, pre-commit hook and pipeline into this repository; nothing is overwritten."""
    root = _root(Path.cwd())
    origin, paths = _origin(), templates_of(root)
    wanted = list(_files(root, origin, paths))
    new = [file for file in wanted if not os.path.lexists(file.path)]
    if not dry_run:
        _write(new)
    for file in new:
        print(f"{'would write' if dry_run else 'wrote'} {_shown(file.path)}")
        if dry_run:
            print(_indented(file.text))
    for file in wanted:
        if file not in new:
            _say_what_is_left(file)
    print(
        f"templates: {' '.join(paths)}" if paths else "there is no template yet; the whole repository will be audited"
    )
    if any(PLACEHOLDER in (file.text if file in new else file.addition) for file in wanted):
        print(f"{PLACEHOLDER} stands for where you keep cfaudit: put that in its place")


def _files(root: Path, origin: Origin | None, paths: Sequence[str]) -> Iterator[File]:
    """What a repository is to have, for the place where its pipeline runs."""
    configured = find_config(root)
    if configured is None:
        yield File(root / NAMES[0], _starter("cfaudit.yaml"), "")
    else:
        yield File(configured, "", "")
    hook = _placed(_starter("pre-commit-config.yaml"), origin, paths)
    yield File(root / ".pre-commit-config.yaml", hook, hook.partition("\n")[2])
    gitlab = root / ".gitlab-ci.yml"
    name, path = (
        ("gitlab-ci.yml", gitlab) if gitlab.exists() else ("github.yml", root / ".github/workflows/cfaudit.yml")
    )
    pipeline = _placed(_starter(name), origin, paths)
    yield File(path, pipeline, pipeline)
    linter = root / ".cfnlintrc"
    if linter.exists():
        rules = "append_rules: [cfaudit.cfnlint_rules]\n"
        yield File(linter, rules, rules)


def _starter(name: str) -> str:
    return (STARTERS / name).read_text(encoding="utf-8")


def _placed(text: str, origin: Origin | None, paths: Sequence[str]) -> str:
    """A starter with the repository's own paths, and with the place that cfaudit came from where that is known."""
    listed = "".join(f"\n            {path}" for path in paths)
    text = text.replace(
        f"paths: {TEMPLATES}", f"paths: |{listed}" if len(paths) > 1 else f"paths: {''.join(paths) or '.'}"
    )
    text = text.replace(TEMPLATES, " ".join(paths) or ".")
    if origin is None:
        return text
    text = text.replace(REPOSITORY, origin.url).replace(REVISION, origin.revision)
    github = _GITHUB.fullmatch(origin.url)
    return text.replace(PLACEHOLDER, github["name"]) if github else text


def _origin() -> Origin | None:
    """What pip wrote down when it installed from git: https://packaging.python.org/specifications/direct-url/."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        written = distribution("cfaudit").read_text("direct_url.json")
    except PackageNotFoundError:
        return None
    held: DirectUrl = json.loads(written or "{}")
    git, url = held.get("vcs_info", Vcs()), held.get("url", "")
    revision = git.get("requested_revision") or git.get("commit_id") or ""
    if git.get("vcs") != "git" or not _URL.fullmatch(url) or not _PLAIN.fullmatch(revision):
        return None
    return Origin(url, revision)


def _root(folder: Path) -> Path:
    """The top of the git repository, where hooks and pipelines are looked for; the folder itself outside of one."""
    return next((above for above in (folder, *folder.parents) if (above / ".git").exists()), folder)


def templates_of(root: Path) -> tuple[str, ...]:
    """Where the templates are: those at the top, and of each folder there the deepest one that holds all of its own."""
    tops: dict[str, list[str]] = {}
    for path in _templates(root):
        tops.setdefault(path.partition("/")[0], []).append(path)
    found = [
        top if held == [top] else f"{os.path.commonpath(map(os.path.dirname, held))}/" for top, held in tops.items()
    ]
    plain = all(_PLAIN.fullmatch(path) for path in found)
    return tuple(found) if plain and len(found) <= MOST else (".",)


def _templates(root: Path) -> Iterator[str]:
    from cfaudit.load import load

    for entry in inputs([str(root)]):
        try:
            text = read(entry.path)
            if may_be_template(text):
                load(text, entry.path)
                yield Path(entry.path).relative_to(root).as_posix()
        except TemplateError:
            continue


def _write(files: Iterable[File]) -> None:
    """Write all of the files or none. Raises ``StopError``."""
    made: list[Path] = []
    for file in files:
        try:
            for folder in reversed([above for above in file.path.parents if not above.exists()]):
                folder.mkdir()
                made.append(folder)
            with file.path.open("x", encoding="utf-8", newline="\n") as opened:
                made.append(file.path)
                opened.write(file.text)
        except OSError as error:
            for path in reversed(made):
                (path.rmdir if path.is_dir() else path.unlink)()
            raise StopError(f"{_shown(file.path)}: cannot be written: {error.strerror}; nothing was written") from None


def _say_what_is_left(file: File) -> None:
    try:
        there = file.path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        there = ""
    if not file.addition or "cfaudit" in there:
        print(f"left {_shown(file.path)} as it is")
    else:
        print(f"left {_shown(file.path)} as it is; add to it:\n{_indented(file.addition)}")


def _indented(text: str) -> str:
    return "".join(f"    {line}".rstrip() + "\n" for line in text.splitlines())


def _shown(path: Path) -> str:
    return os.path.relpath(path)
