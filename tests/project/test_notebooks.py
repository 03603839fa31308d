"""Every notebook runs from its first cell to its last, and draws."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

nbformat = pytest.importorskip("nbformat", reason="notebooks need the extra test")
nbclient = pytest.importorskip("nbclient", reason="notebooks need the extra test")


def read(path):
    return nbformat.read(path, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_three():
    assert [path.stem for path in NOTEBOOKS] == [
        "my_own_rule",
        "plane_in_ten_minutes",
        "planning_a_recording",
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_kept_without_what_it_shows(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code(notebook))
    assert (FOLDER / f"{path.stem}.png").is_file()


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path,
            id=path.stem,
            marks=() if path.stem == "plane_in_ten_minutes" else pytest.mark.acceptance,
        )
        for path in NOTEBOOKS
    ],
)
def test_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.delenv("MPLBACKEND", raising=False)  # pictures are shown, as to a reader
    notebook = read(path)
    client = nbclient.NotebookClient(notebook, timeout=240, kernel_name="python3")
    client.execute(cwd=str(tmp_path))
    shown = [output for cell in code(notebook) for output in cell.outputs]
    pictures = [one for one in shown if "image/png" in one.get("data", {})]
    tables = [one for one in shown if "text/html" in one.get("data", {})]
    assert pictures
    assert tables
    assert [one.text for one in shown if one.output_type == "stream"] == []  # no warning
