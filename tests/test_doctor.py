import json
import sys
from pathlib import Path

import pytest

from grokbook import doctor
from grokbook.store import Store


def problems() -> list[doctor.Finding]:
    return [finding for finding in doctor.examine() if finding.fix]


def test_this_environment_lacks_at_most_the_data():
    assert [problem for problem in problems() if "trained runs" not in problem.seen] == []


@pytest.mark.parametrize("compiler", [None, "/usr/bin/gcc"])
def test_what_a_cuda_machine_needs_for_its_first_launch_is_looked_for(compiler, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "a card")
    monkeypatch.setattr(doctor.shutil, "which", lambda name: compiler if name == "gcc" else None)
    monkeypatch.setattr(doctor.sysconfig, "get_path", lambda _: str(tmp_path))
    if compiler:
        (tmp_path / "Python.h").touch()
    fixes = [problem.fix for problem in problems() if "first launch" in problem.seen]
    assert fixes == ([] if compiler else ["apt-get install gcc", "apt-get install python3-dev"])


def test_a_kernel_of_another_python_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    kernel = tmp_path / "kernels" / "python3"
    kernel.mkdir(parents=True)
    spec = {"argv": ["/opt/other/python", "-m", "ipykernel"], "display_name": "", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    (problem,) = [problem for problem in problems() if "kernel" in problem.seen]
    assert problem.seen == f"kernel python3 is another Python, /opt/other/python, as {kernel} says"
    assert problem.fix.endswith(f"{sys.executable} -m ipykernel install --sys-prefix")


def test_missing_extensions_are_named_with_their_packages(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("jupyter_core.paths.jupyter_path", lambda *_: [])
    lacking = [problem for problem in problems() if "JupyterLab" in problem.seen]
    assert [problem.fix.split()[-1] for problem in lacking] == ["jupyterlab_widgets", "anywidget"]


def test_a_damaged_or_empty_store_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GROKBOOK_DATA", str(tmp_path))
    assert [p.fix for p in problems()] == ["grokbook sweep grokking"]
    (tmp_path / "zones").mkdir()
    (tmp_path / "zones" / "broken.parquet").write_text("not Parquet")
    left = tmp_path / "zones" / ".run.parquet.tmp"
    left.touch()
    with pytest.warns(UserWarning, match="broken.parquet"):
        damaged, unfinished, empty = problems()
    assert "broken.parquet is damaged" in damaged.seen and damaged.fix == "delete it and train its runs again"
    assert unfinished.seen == f"{left} was left by a writer that did not finish"
    assert unfinished.fix == "delete it, unless one is at work now"


@pytest.mark.parametrize("cloned", [True, False])
def test_the_runs_that_came_with_a_clone_come_back_from_it(cloned: bool, tmp_path: Path,
                                                           monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("GROKBOOK_DATA", raising=False)
    monkeypatch.setattr(doctor, "CHECKOUT", tmp_path)
    monkeypatch.setattr(doctor, "Store", lambda: Store(tmp_path / "data"))
    if cloned:
        (tmp_path / ".git").mkdir()
    assert [p.fix for p in problems()] == [f"git -C {tmp_path} restore data" if cloned else "grokbook sweep grokking"]


def test_a_bare_machine_hears_what_it_cannot_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (problem,) = [problem for problem in problems() if "Jupyter" in problem.seen]
    assert problem.seen.startswith("Jupyter is not installed") and problem.fix.endswith("pip install -e .")


def test_a_torch_that_cannot_be_loaded_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert problems()[0].fix.endswith("-m pip install -c constraints.txt torch")
