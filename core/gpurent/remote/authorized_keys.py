"""Installs a public key where the machine's SSH server reads those of its user."""

from __future__ import annotations

from gpurent.remote.shell import iter_marked_lines, probe_command

_MARK = "gpurent-key "
# Adds the line $1 unless it is there, by rename: a full disk or a dropped connection leaves the old file. The first
# file that the server reads counts; the settings may not be readable, and then it is the usual one.
_SCRIPT = r"""
umask 077
for conf in /etc/ssh/sshd_config.d/*.conf /etc/ssh/sshd_config; do
  set_to=$(awk 'tolower($1) == "match" {exit} tolower($1) == "authorizedkeysfile" {print $2; exit}' "$conf" 2>/dev/null)
  [ -z "$set_to" ] || break
done
file=$(printf '%s' "${set_to:-.ssh/authorized_keys}" | tr -d '"' |
  sed "s|%h|$HOME|g; s|%u|$(id -un)|g; s|%U|$(id -u)|g; s|%%|%|g")
case $file in none) file=.ssh/authorized_keys ;; esac
case $file in /*) ;; *) file=$HOME/$file ;; esac
folder=${file%/*}
mkdir -p "$folder" || exit 1
case $folder in "$HOME"/*) chmod 700 "$folder" || exit 1 ;; esac
[ -e "$file" ] || : > "$file" || exit 1
if ! grep -qxF -- "$1" "$file"; then
  fresh=$file.gpurent.$$
  {
    cat "$file" &&
    { [ -z "$(tail -c 1 "$file")" ] || echo; } &&
    printf '%s\n' "$1"
  } > "$fresh" && chmod 600 "$fresh" && mv "$fresh" "$file" || { rm -f "$fresh"; exit 1; }
fi
echo "@mark@$file"
"""


def install_key_command(line: str) -> str:
    """Return the command that adds ``line``, a public key, to the authorized keys; see `parse_installed_path`."""
    return probe_command(_SCRIPT, line, name="key", mark=_MARK)


def parse_installed_path(output: str) -> str:
    """Return the path of that file; empty if the key was not installed."""
    return next(iter_marked_lines(output, _MARK), "")
