"""Files of the user's, as the command line reads and writes them: projects, private ones, private keys."""

from gpurent.infra.config.project_file import (
    IGNORE as IGNORE,
    find_project as find_project,
    project_values as project_values,
    read_project as read_project,
    render_project as render_project,
    write_new as write_new,
)
from gpurent.infra.config.toml_file import TomlFile as TomlFile
from gpurent.infra.platform.posix.system import write_private as write_private
from gpurent.infra.ssh.client import load_key as load_key
