"""A JupyterLab of its own for the tests, on a free port of this machine, and gone with them."""

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

CONFIG = """
from jupyterlab.galata import configure_jupyter_server
configure_jupyter_server(c)  # no token, and `window.jupyterapp` in the page
c.ServerApp.ip = "127.0.0.1"
c.ServerApp.allow_root = True
c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.handlers.announcements.NeverCheckForUpdate"
c.LabApp.extension_manager = "readonly"
c.LanguageServerManager.autodetect = False  # or it runs npm
"""

QUIET = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False,
                                                    "doNotDisturbMode": True},
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
}

SUBSHELLS = "@jupyterlab/apputils-extension:kernels-settings"
"""Where JupyterLab sets whether messages of widgets wait for a busy cell or go round it on another thread."""

PATIENCE = 60


@contextlib.contextmanager
def serve(notebooks: Path, folder: Path, settings: Mapping[str, dict]) -> Iterator[str]:
    """JupyterLab over a folder of notebooks; its address. All that it writes goes into the other, empty folder."""
    for plugin, values in {**QUIET, **settings}.items():
        path = folder / "settings" / f"{plugin.replace(':', '/')}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    (folder / "config.py").write_text(CONFIG)
    (folder / "tmp").mkdir()
    address = f"http://127.0.0.1:{(port := _free_port())}"
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(_command(notebooks, folder, port), cwd=notebooks, env=_environment(folder),
                                  stdout=log, stderr=log, start_new_session=True, preexec_fn=_die_with_parent)
    try:
        _wait(server, address, folder / "log")
        yield address
    finally:
        server.terminate()  # it then ends its kernels
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _command(notebooks: Path, folder: Path, port: int) -> list[str]:
    return [sys.executable, "-m", "jupyterlab", "--no-browser", f"--config={folder / 'config.py'}",
            f"--ServerApp.root_dir={notebooks}", f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
            f"--LabApp.user_settings_dir={folder / 'settings'}", f"--LabApp.workspaces_dir={folder / 'workspaces'}"]


def _environment(folder: Path) -> dict[str, str]:
    """This environment with folders of its own, so that no setting of the reader's is read or changed."""
    there = {name: value for name, value in os.environ.items() if name not in ("JUPYTER_TOKEN", "PLOTLY_RENDERER")}
    own = {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    return there | own | {"IPYTHONDIR": str(folder / "ipython"), "TMPDIR": str(folder / "tmp")}


def _die_with_parent() -> None:
    """On Linux: the server ends when the tests are killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _wait(server: subprocess.Popen, address: str, log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/api/status", timeout=2):
            return
        time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()}")
