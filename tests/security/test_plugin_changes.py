"""Installed plugins: which are from elsewhere, which have changed, and a start without them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from tests.security.attacks import Adversary, Outcome, attack

SOURCE = """
import os
from pathlib import Path
from gpurent.api import SessionEntry, hookimpl
if "LOADED" in os.environ:
    with Path(os.environ["LOADED"]).open("a") as log:
        log.write({name!r} + "\\n")
@hookimpl
def gpurent_register_session():
    return [SessionEntry(name={entry!r}, summary="theirs", build=lambda host: None)]
"""


@frozen
class Place:
    """Packages of others beside the real ones, and a data folder."""

    root: Path

    @property
    def packages(self) -> Path:
        return self.root / "packages"

    @property
    def loaded(self) -> list[str]:
        """Return the plugins that were imported since the last call."""
        log = self.root / "loaded"
        found = log.read_text().split() if log.exists() else []
        log.unlink(missing_ok=True)
        return found

    def install(self, distribution: str, version: str = "1.0", *, more: str = "", module: str = "") -> None:
        """Install a plugin as pip does, in place of another version of it."""
        name = module or distribution.replace("-", "_")
        self.packages.mkdir(exist_ok=True)
        for old in self.packages.glob(f"{name}-*.dist-info/*"):
            old.unlink()
        for folder in self.packages.glob(f"{name}-*.dist-info"):
            folder.rmdir()
        source = SOURCE.format(name=distribution, entry=distribution.rpartition("-")[2]) + more
        (self.packages / f"{name}.py").write_text(source)
        info = self.packages / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[gpurent]\n{distribution} = {name}\n")
        digest = base64.urlsafe_b64encode(hashlib.sha256(source.encode()).digest()).rstrip(b"=").decode()
        (info / "RECORD").write_text(f"{name}.py,sha256={digest},{len(source)}\n{info.name}/RECORD,,\n")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root),
            "GPURENT_HOME": str(self.root / "home"),
            "GPURENT_STATE_HOME": str(self.root / "outside"),
            "PYTHONPATH": str(self.packages),
            "LOADED": str(self.root / "loaded"),
            "LANG": "C.UTF-8",
        }
        return subprocess.run(
            [sys.executable, "-m", "gpurent", *arguments],
            env=environment,
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
        )

    def list_plugins(self, *options: str) -> dict[str, Any]:
        done = self.run(*options, "plugin", "list", "--json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)["data"]
        return found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.install("acme-gpus")
    assert made.run("ls").stderr == "", "nothing is new at the very first command"
    assert made.loaded == ["acme-gpus"]
    return made


@attack(
    Adversary.PLUGIN_AUTHOR,
    "a file of a plugin is edited where it was installed, and the list of its files stays",
    Outcome.REPORTED,
    kind="S16",
)
def test_an_edited_plugin_is_told_once_by_name(place: Place) -> None:
    place.run("ls")
    with (place.packages / "acme_gpus.py").open("a") as file:
        file.write("# edited\n")
    assert "acme-gpus has changed: 1.0 (" in place.run("ls").stderr
    assert place.run("ls").stderr == ""


@attack(
    Adversary.PLUGIN_AUTHOR,
    "a plugin that was used before is replaced by another one under the same name and version",
    Outcome.REPORTED,
    kind="S16",
)
def test_a_changed_plugin_is_told_once_by_name(place: Place) -> None:
    before = place.list_plugins()
    place.install("acme-gpus", more="\n# and takes your passwords\n")
    told = place.run("ls", "--json")
    assert "acme-gpus has changed: 1.0 (" in told.stderr
    json.loads(told.stdout)
    assert place.run("ls").stderr == ""
    (now,) = [item for item in place.list_plugins()["plugins"] if item["distribution"] == "acme-gpus"]
    (old,) = [item for item in before["plugins"] if item["distribution"] == "acme-gpus"]
    assert (old["has_changed"], now["has_changed"]) == (False, True)
    assert now["first_use"]["sha256"] == old["sha256"] != now["sha256"]
    assert "acme-gpus has changed since its first use here" in place.run("plugin", "list").stdout


@attack(
    Adversary.PLUGIN_AUTHOR,
    "a package that was installed for something else brings a plugin",
    Outcome.REPORTED,
    kind="S16",
)
def test_a_new_plugin_is_told_once_by_name(place: Place) -> None:
    place.install("left-pad")
    assert "left-pad is new: 1.0 (" in place.run("ls").stderr
    assert place.run("ls").stderr == ""


@attack(
    Adversary.PLUGIN_AUTHOR,
    "a changed plugin writes the record of the data folder, so that nothing is told",
    Outcome.REPORTED,
    kind="S16",
)
@pytest.mark.nightly
def test_the_record_outside_of_the_data_folder_counts_too(place: Place) -> None:
    record = place.root / "home" / "outside-records.json"
    kept = record.read_bytes()
    place.install("acme-gpus", more="\n# changed\n")
    content = json.loads(kept)
    (now,) = [item for item in place.list_plugins()["plugins"] if item["distribution"] == "acme-gpus"]
    content["plugins"]["last"]["acme-gpus"] = [now["version"], now["sha256"]]
    record.write_text(json.dumps(content))
    assert "acme-gpus has changed" in place.run("ls").stderr


def test_the_plugins_of_this_release_are_loaded_with_safe_and_no_others(place: Place) -> None:
    every = {item["distribution"] for item in place.list_plugins()["plugins"]}
    assert place.loaded
    found = place.list_plugins("--safe")
    assert {item["distribution"] for item in found["plugins"]} == every - {"acme-gpus"}
    assert [item["distribution"] for item in found["left_out"]] == ["acme-gpus"]
    assert "left out by --safe" in place.run("--safe", "plugin", "list").stdout


@attack(
    Adversary.PLUGIN_AUTHOR,
    "a plugin's module runs code when it is imported, with --safe",
    Outcome.KEPT_OUT,
    kind="S16",
)
@pytest.mark.parametrize(
    "command",
    [
        ("ls",),
        *(
            pytest.param(command, marks=pytest.mark.nightly)
            for command in (("--help",), ("plugin", "list"), ("costs", "--offline"))
        ),
    ],
)
def test_with_safe_nothing_of_another_plugin_is_imported(place: Place, command: tuple[str, ...]) -> None:
    place.install("acme-gpus", more="\nraise SystemExit('no start')\n")
    done = place.run("--safe", *command)
    assert done.returncode == 0, done.stderr
    assert place.loaded == []
    assert place.run(*command[:1], "--safe").returncode in (0, 2), "wherever it stands"
    assert place.loaded == []


@attack(
    Adversary.PLUGIN_AUTHOR,
    "a plugin takes the name of one of this release",
    Outcome.KEPT_OUT,
    kind="S16",
)
@pytest.mark.parametrize("version", ["0.1.0", pytest.param("9.9", marks=pytest.mark.nightly)])
def test_the_name_of_a_released_plugin_is_not_enough(place: Place, version: str) -> None:
    place.install("gpurent-plugin-screen", version, module="evil")
    place.run("--safe", "ls")
    assert place.loaded == []


@attack(
    Adversary.PLUGIN_AUTHOR,
    "a file of a plugin of this release is changed after it was installed",
    Outcome.KEPT_OUT,
    kind="S16",
)
@pytest.mark.nightly
def test_a_changed_file_of_a_released_plugin_is_left_out_with_safe(place: Place) -> None:
    place.install("gpurent-plugin-screen", "0.1.0")
    place.run("--safe", "ls")
    assert place.loaded == ["gpurent-plugin-screen"], "as it was released, as far as its list of files says"
    with (place.packages / "gpurent_plugin_screen.py").open("a") as file:
        file.write("\n# changed\n")
    assert "gpurent-plugin-screen" in [
        item["distribution"] for item in place.list_plugins("--safe")["left_out"]
    ]
    assert place.loaded == []
