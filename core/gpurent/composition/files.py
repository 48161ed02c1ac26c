"""The user's files that the command line reads and writes: project files, private files, private keys."""

from gpurent.infra.config.project_file import (
    find_project_file as find_project_file,
    parse_project_file as parse_project_file,
    read_project_file as read_project_file,
    render_ignore_file as render_ignore_file,
    render_project_file as render_project_file,
    write_new_file as write_new_file,
)
from gpurent.infra.config.trusted_projects import TrustedProjects as TrustedProjects
from gpurent.infra.platform.system import write_private_file as write_private_file
from gpurent.infra.ssh.connector import load_private_key as load_private_key
