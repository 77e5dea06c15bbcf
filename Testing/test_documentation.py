"""What the documentation names is there: files, commands, options, messages, versions."""

from __future__ import annotations

import ast
import doctest
import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

import BrainSSLAnomalyLib
import pytest
from BrainSSLAnomalyLib.core.settings import describe_settings
from BrainSSLAnomalyLib.imageio.nifti import write_volume
from typer.main import get_command

yaml = pytest.importorskip("yaml", reason="needs PyYAML: pip install '.[dev]'")

PROJECT = Path(__file__).resolve().parents[1]
MODULE = PROJECT / "BrainSSLAnomaly"
PACKAGE = MODULE / "BrainSSLAnomalyLib"
PAGES = sorted(
    [
        *PROJECT.glob("*.md"),
        *(PROJECT / "docs").rglob("*.md"),
        *(PROJECT / ".github").rglob("*.md"),
        *(PROJECT / "training").glob("*.md"),
        *(MODULE / "Resources").glob("*/docs/README.md"),
    ]
)
EXPERIMENTS = PROJECT / "docs" / "experiments"
GUIDE = [page for page in PAGES if EXPERIMENTS not in page.parents and page.name != "CHANGELOG.md"]
CODE_BLOCK = re.compile(r"^```\w*\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
INCLUDED_BY_SITE = re.compile(r'--8<-- "([^"]+)"')
NOT_OUR_WORDS = re.compile(
    r"\b(looks? at|looked|looking|seen|asked|told|unsaid|opened)\b", re.IGNORECASE
)


def name(page: Path) -> str:
    """Return a page's path from the project's root."""
    return page.relative_to(PROJECT).as_posix()


def links(text: str) -> Iterator[str]:
    """Yield the targets of links and pictures that are not web addresses."""
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(text)):
        if not re.match(r"[a-z]+:", target):
            yield target


def without_code(text: str) -> str:
    """Remove code blocks and code words."""
    return re.sub(r"`[^`\n]*`", "", CODE_BLOCK.sub("", text))


def code(text: str) -> Iterator[str]:
    """Yield the lines of code blocks, continued lines joined, and the code words of the text."""
    for block in CODE_BLOCK.findall(text):
        yield from re.sub(r"\\\n\s*", " ", block).splitlines()
    yield from re.findall(r"`([^`\n]+)`", CODE_BLOCK.sub("", text))


def anchors(text: str) -> set[str]:
    """Return the anchors that the site gives to the headings of a page."""
    heads = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    kept = (re.sub(r"[^\w\s-]", "", head.replace("`", "").lower()) for head in heads)
    return {re.sub(r"[\s]+", "-", head.strip()) for head in kept}


def whole_text(page: Path) -> str:
    """Return a page's text with the files that the site includes into it."""
    text = page.read_text(encoding="utf-8")
    return INCLUDED_BY_SITE.sub(lambda m: (PROJECT / m[1]).read_text(encoding="utf-8"), text)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_leads_to_a_file_and_a_heading(page):
    broken = []
    for target in links(page.read_text(encoding="utf-8")):
        path, _, anchor = unquote(target).partition("#")
        leads_to = (page.parent / path).resolve() if path else page
        if not leads_to.exists() or (anchor and anchor not in anchors(whole_text(leads_to))):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", GUIDE, ids=name)
def test_every_named_path_is_there(page):
    roots = (PROJECT, PACKAGE, MODULE, MODULE / "Resources", PROJECT / "training")
    roots = (*roots, page.parent.parent if page.name == "README.md" else PROJECT / "docs")
    lines = list(code(page.read_text(encoding="utf-8")))
    named = [word for word in lines if is_our_path(word)]
    named += [word for line in lines for word in re.findall(r"(?<!/)\bTesting/[\w./-]*", line)]
    absent = [word for word in named if not any((root / word).exists() for root in roots)]
    assert absent == []


def is_our_path(word: str) -> bool:
    """Whether a code word is the path of a source, a page or a folder of this project."""
    made_here = ("results", "flair_anomalies", "site", "wheels", "/", ".venv")
    return bool(re.fullmatch(r"[\w./-]+(\.(py|md|json|ui|toml|txt)|/)", word)) and (
        "/" in word and not word.startswith(made_here) and word != "evaluation/"
    )


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_python_module_in_a_command_is_there(page):
    text = "\n".join(code(page.read_text(encoding="utf-8")))
    modules = set(re.findall(r"-m (training[\w.]*|BrainSSLAnomalyLib[\w.]*)", text))
    assert [module for module in sorted(modules) if find_spec(module) is None] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_option_of_a_training_command_is_read_by_its_module(page):
    unknown = []
    for line in code(page.read_text(encoding="utf-8")):
        for module, arguments in re.findall(r"-m (training[\w.]*)([^#|;&]*)", line):
            source = source_of(module)
            for option in re.findall(r"--([a-z][\w-]*)", arguments):
                if not re.search(rf"\b{option.replace('-', '_')}\b", source):
                    unknown.append((module, option))
    assert unknown == []


def source_of(module: str) -> str:
    """Return the text of a module, or of the module that runs a package."""
    path = PROJECT.joinpath(*module.split("."))
    path = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
    return path.read_text(encoding="utf-8")


def command_lines() -> list[tuple[str, str]]:
    """Return page and arguments of every use of our command."""
    found = []
    for page in PAGES:
        for line in code(page.read_text(encoding="utf-8")):
            uses = re.findall(r"(?<![\w./-])brain-ssl-anomaly ([^#|;&]+)", line)
            found += [(name(page), use.strip()) for use in uses]
    return found


def options_of_commands() -> dict[str, set[str]]:
    """Return the options of each of our commands."""
    from BrainSSLAnomalyLib.cli.app import app

    return {
        command: {option for p in parsed.params for option in (*p.opts, *p.secondary_opts)}
        for command, parsed in get_command(app).commands.items()
    }


def test_every_command_and_option_of_the_documentation_exists():
    known = options_of_commands()
    unknown = []
    for page, arguments in command_lines():
        command, *words = arguments.split()
        options = [word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)]
        missing = set(options) - known.get(command, set()) - {"--help"}
        if command not in known or missing:
            unknown.append((page, command, sorted(missing)))
    assert unknown == []


def test_every_command_is_documented():
    documented = {arguments.split()[0] for _, arguments in command_lines()}
    assert set(options_of_commands()) <= documented


@pytest.mark.parametrize("page", [PROJECT / "docs" / "user" / "command-line.md"], ids=name)
def test_every_option_on_the_page_of_the_command_line_exists(page):
    known = set().union(*options_of_commands().values()) | {"--help", "--debug"}
    named = re.findall(r"`(--[a-z][\w-]*)`", page.read_text(encoding="utf-8"))
    assert sorted(set(named) - known) == []


@lru_cache(maxsize=1)
def texts_of_the_program() -> str:
    """Return every string of the package and the panel's layout, one a line."""
    found = []
    for path in sorted(MODULE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        strings = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)]
        found += [value for value in strings if isinstance(value, str)]
    layout = (MODULE / "Resources" / "UI" / "BrainSSLAnomaly.ui").read_text(encoding="utf-8")
    return "\n".join([*found, *re.findall(r"<string>([^<]*)</string>", layout)])


def test_messages_and_buttons_of_the_slicer_page_are_those_of_the_panel():
    text = without_code((PROJECT / "docs" / "user" / "slicer.md").read_text(encoding="utf-8"))
    messages = re.findall(r"\"([^\"\n]+)\"", text)
    buttons = [words for words in re.findall(r"\*\*([^*\n]+)\*\*", text) if len(words) > 1]
    known = texts_of_the_program()
    outside = {"Research use only, not for diagnosis."}
    parts = [part.strip() for words in (*messages, *buttons) for part in words.split("...")]
    assert [part for part in parts if part and part not in outside and part not in known] == []


@pytest.mark.parametrize("page", GUIDE, ids=name)
def test_the_words_are_the_field_s(page):
    lines = page.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if NOT_OUR_WORDS.search(line)] == []


def test_tables_of_the_guide_have_at_most_seven_columns():
    wide = []
    for page in GUIDE:
        text = page.read_text(encoding="utf-8")
        written = re.sub(r"<!-- benchmark -->.*<!-- /benchmark -->", "", text, flags=re.DOTALL)
        for line in re.findall(r"^\|.*\|$", written, flags=re.MULTILINE):
            if re.sub(r"`[^`]*`", "", line).count("|") > 8:
                wide.append((name(page), line))
    assert wide == []


def test_citation_changelog_package_and_models_have_one_version():
    version = BrainSSLAnomalyLib.__version__
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))
    changelog = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
    number, date = re.search(r"^## \[(\d[\d.]*)\] - (\S+)$", changelog, re.MULTILINE).groups()
    assert (citation["version"], number) == (version, version)
    assert str(citation["date-released"]) == date
    assert f"[{version}]: https://" in changelog
    for bundle in ("Model", "AnatomyModel"):
        folder = MODULE / "Resources" / bundle
        metadata = json.loads((folder / "configs" / "metadata.json").read_text(encoding="utf-8"))
        card = (folder / "docs" / "README.md").read_text(encoding="utf-8")
        assert metadata["version"] == version
        assert card.startswith("# ") and card.splitlines()[0].endswith(f" {version}")


def test_the_citation_names_the_paper_and_the_repository():
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))
    readme = " ".join((PROJECT / "README.md").read_text(encoding="utf-8").replace(">", "").split())
    (paper,) = citation["references"]
    assert paper["title"] in readme and paper["journal"] in readme
    assert citation["cff-version"] == "1.2.0"
    assert citation["authors"] == [{"name": "The BrainSSLAnomaly developers"}]


def test_every_page_of_the_site_is_in_its_navigation():
    class Loader(yaml.SafeLoader):
        """Reads the tags that MkDocs allows."""

    Loader.add_multi_constructor("!", lambda loader, suffix, node: None)
    site = yaml.load((PROJECT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)
    docs = PROJECT / "docs"
    pages = {page.relative_to(docs).as_posix() for page in docs.rglob("*.md")}
    assert set(pages_of(site["nav"])) == pages


def pages_of(nav: list | dict | str) -> Iterator[str]:
    """Yield the pages of a part of the navigation."""
    if isinstance(nav, str):
        yield nav
    else:
        for part in nav.values() if isinstance(nav, dict) else nav:
            yield from pages_of(part)


def test_the_site_is_built_without_warnings(tmp_path):
    pytest.importorskip("mkdocs", reason="needs MkDocs: pip install '.[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    built = subprocess.run(command, cwd=PROJECT, env=environment, check=False, **output)
    assert built.returncode == 0, built.stdout
    assert (tmp_path / "api" / "core" / "index.html").is_file()


def test_the_page_of_settings_has_a_row_for_each_setting():
    hook = runpy.run_path(str(PROJECT / "docs" / "hooks" / "settings_tables.py"))
    page = hook["on_page_markdown"]((PROJECT / "docs/user/settings.md").read_text(encoding="utf-8"))
    assert "<!-- settings" not in page
    for group in hook["GROUPS"].values():
        for described in describe_settings(group).values():
            assert f"| {described.label} |" in page


def test_every_package_has_its_page_in_the_api_reference():
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    pages = {page.stem for page in (PROJECT / "docs" / "api").glob("*.md")} - {"index"}
    assert pages == packages


def test_the_python_example_of_the_readme_runs(tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="needs torch: pip install '.[torch]'")
    study, _ = BrainSSLAnomalyLib.synthetic_patient(spacing=3.0)
    flair = study.scans[BrainSSLAnomalyLib.Modality.FLAIR].volume
    write_volume(tmp_path / "flair.nii.gz", flair, flair.array.dtype)
    monkeypatch.chdir(tmp_path)
    readme = PROJECT / "README.md"
    text = re.sub(r"^```.*$", "", readme.read_text(encoding="utf-8"), flags=re.MULTILINE)
    examples = doctest.DocTestParser().get_doctest(text, {}, "README", str(readme), 0)
    assert len(examples.examples) == 3
    result = doctest.DocTestRunner().run(examples, clear_globs=False)
    assert result.failed == 0
    assert len(examples.globs["findings"]) >= 1
