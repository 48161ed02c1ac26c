"""Every plugin below plugins/ is in the import contracts without being listed."""

from __future__ import annotations

from pathlib import Path

from scripts.lint_imports import expand_placeholder, find_plugin_packages

ROOT = Path(__file__).parents[2]


def test_every_plugin_of_this_repository_is_found() -> None:
    found = [(path.parents[1].name, path.name) for path in find_plugin_packages(ROOT)]
    folders = sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml"))
    assert found == [(name, f"gpurent_plugin_{name}") for name in folders]


def test_folders_without_a_package_are_not_found(tmp_path: Path) -> None:
    source = tmp_path / "plugins" / "new" / "src"
    (source / "gpurent_plugin_new").mkdir(parents=True)
    (source / "gpurent_plugin_new" / "__init__.py").touch()
    (source / "something_else").mkdir()
    (source / "something_else" / "__init__.py").touch()
    (tmp_path / "plugins" / "old" / "src" / "gpurent_plugin_old" / "__pycache__").mkdir(parents=True)
    assert find_plugin_packages(tmp_path) == [source / "gpurent_plugin_new"]


def test_the_placeholder_is_repeated_for_every_package() -> None:
    options = {
        "root_packages": ["gpurent", "gpurent_plugin_*"],
        "include_external_packages": True,
        "contracts": [
            {"id": "one", "modules": ["gpurent_plugin_*"]},
            {"id": "two", "ignore_imports": ["gpurent_plugin_*.plugin -> pluggy", "gpurent -> pluggy"]},
        ],
    }
    assert expand_placeholder(options, ["gpurent_plugin_a", "gpurent_plugin_b"]) == {
        "root_packages": ["gpurent", "gpurent_plugin_a", "gpurent_plugin_b"],
        "include_external_packages": True,
        "contracts": [
            {"id": "one", "modules": ["gpurent_plugin_a", "gpurent_plugin_b"]},
            {
                "id": "two",
                "ignore_imports": [
                    "gpurent_plugin_a.plugin -> pluggy",
                    "gpurent_plugin_b.plugin -> pluggy",
                    "gpurent -> pluggy",
                ],
            },
        ],
    }
