"""What the panel tells is in the language of the application, as far as a translation has it."""

import ast
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PANEL = Path(__file__).resolve().parents[2] / "SlicerVAELib" / "panel"
FILES = sorted(path.relative_to(PANEL).as_posix() for path in PANEL.rglob("*.py"))
SPEAKING = [name for name in FILES if name.startswith(("presenters/", "readiness", "runs"))]


@pytest.mark.parametrize("file", FILES)
def test_what_is_translated_is_a_whole_sentence_with_places(file):
    """Slicer's tools read the words from the source, so they must stand there."""
    tree = ast.parse((PANEL / file).read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_"]
    for call in calls:
        (argument,) = call.args
        assert isinstance(argument, ast.Constant) and isinstance(argument.value, str), f"line {call.lineno}"


@pytest.mark.parametrize("file", SPEAKING)
def test_no_sentence_is_put_together_in_english(file):
    """An f-string of several words escapes translation."""
    tree = ast.parse((PANEL / file).read_text())
    parts = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    words = [value.value for node in parts for value in node.values if isinstance(value, ast.Constant)]
    assert [text for text in words if len(text.split()) > 2] == []


def test_a_translation_reaches_the_person():
    code = """
        import sys, types
        import slicer
        from pathlib import Path
        sys.path.insert(0, {root!r})
        i18n = types.ModuleType("slicer.i18n")
        words = {{"Choose an input volume.": "Bitte ein Volumen wählen.", "{{count}} slices": "{{count}} Schichten"}}
        i18n.tr = lambda text: words.get(text, text)
        sys.modules["slicer.i18n"] = i18n
        from Testing.headless.panel_helper import BlockingRunner, Parameters, make_panel
        from SlicerVAELib.panel.readiness import what_a_run_lacks
        from SlicerVAELib.scene.resources import MODEL
        slicer.mrmlScene = slicer.vtkMRMLScene()
        print(what_a_run_lacks(make_panel(BlockingRunner(None), Parameters(modelPath=MODEL))))
    """
    script = textwrap.dedent(code.format(root=str(PANEL.parents[1])))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "Bitte ein Volumen wählen."
