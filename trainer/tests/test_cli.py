"""The command line before any work begins: quick, and in sentences."""

import importlib
import json
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

import slicervae
from slicervae.cli import COMMANDS, main

ROOT = Path(__file__).resolve().parents[2]
PAPERS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
# What takes long to import, or must not be needed before a command runs.
HEAVY = ("torch", "scipy", "SimpleITK", "matplotlib", "nibabel", "pydicom", "slicer", "vtk", "lightning_fabric")


def slicervae_process(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "slicervae", *words], capture_output=True, text=True, timeout=60)


def test_help_comes_in_under_half_a_second():
    def seconds() -> float:
        start = time.perf_counter()
        assert slicervae_process("--help").returncode == 0
        return time.perf_counter() - start

    # The best of a few: what else the machine does at that moment is not the program's doing.
    assert min(seconds() for _ in range(5)) < 0.5


def test_help_of_any_command_imports_nothing_heavy():
    program = f"""
import contextlib, io, json, sys
from slicervae.cli import main

came_with_it = {{}}
for words in ([], *([command] for command in {list(COMMANDS)})):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main([*words, "--help"])
    came_with_it[" ".join(words)] = [name for name in {HEAVY} if name in sys.modules]
print(json.dumps(came_with_it))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"": [], **{command: [] for command in COMMANDS}}


def test_help_lists_every_command_with_what_it_does():
    listing = slicervae_process("--help").stdout
    for command, text in COMMANDS.items():
        assert re.search(rf"^  {command} +{re.escape(text)}$", listing, re.MULTILINE)


def test_no_words_at_all_are_answered_with_the_help(capsys):
    with pytest.raises(SystemExit) as end:
        main([])
    assert end.value.code == 0
    assert "commands:" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    usage, explanation, *_ = capsys.readouterr().out.split("\n\n")
    assert usage.startswith(f"usage: slicervae {command} ")
    assert explanation.endswith("."), "the description is a sentence"


def test_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"slicervae {slicervae.__version__}\n"


def test_a_misspelt_command_is_told_the_nearest_one():
    done = slicervae_process("reconstuct", "bundle", "ct.nrrd")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "slicervae: there is no command 'reconstuct'; did you mean 'reconstruct'?\n"


def test_a_command_like_none_is_told_all_of_them():
    done = slicervae_process("zzz")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert all(f"'{command}'" in done.stderr for command in COMMANDS)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--colour"], "slicervae: "),
        (["phantom", "--out", "somewhere"], "--patients"),
        (["phantom", "--patients", "many", "--seed", "0", "--out", "somewhere"], "'many'"),
        (["fit"], "RECIPE"),
        (["recipes", "--yaml"], "--yaml"),
    ],
    ids=["unknown option", "option missing", "not a number", "argument missing", "unknown option of a command"],
)
def test_words_that_are_off_end_in_one_line_that_names_them(words, told, capsys):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert told in line
    assert "--help'" in line


@pytest.mark.parametrize("paper", PAPERS, ids=lambda path: path.name)
def test_commands_in_the_papers_are_understood(paper, monkeypatch):
    understood = []
    for command in COMMANDS:
        module = importlib.import_module(f"slicervae.commands.{command.replace('-', '_')}")
        monkeypatch.setattr(module, "run", understood.append)
    shown = commands_shown(paper.read_text(encoding="utf-8"))
    for words in shown:
        assert main(words) == 0, f"{paper.name} shows 'slicervae {shlex.join(words)}'"
    assert len(understood) == len(shown)
    assert shown or paper.name != "README.md"


def commands_shown(text: str) -> list[list[str]]:
    """The words behind ``slicervae`` on the lines of a paper's blocks of shell commands."""
    blocks = re.findall(r"^```(?:sh|bat)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    found = (re.match(r"(?:\S*[/\\])?slicervae (.*)", line) for line in lines)
    return [shlex.split(match[1], comments=True) for match in found if match]


@pytest.mark.parametrize("paper", PAPERS, ids=lambda path: path.name)
def test_links_in_the_papers_lead_somewhere(paper):
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", paper.read_text(encoding="utf-8"))
    broken = [link for link in links if "://" not in link and not (paper.parent / link).exists()]
    assert broken == []
