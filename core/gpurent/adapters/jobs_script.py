"""The script that runs a job inside a session: written once here, for every keeper."""

from __future__ import annotations

import shlex

from gpurent.model.session import Job

# Its first act is an atomic mkdir, so that a job never runs twice. The job is led by its own session (setsid
# where there is
# one): neither the terminal's hang-up nor a Ctrl-C typed into it reaches the job. The terminal only shows the log.
_SCRIPT = r"""#!/bin/sh
cd "$HOME/@room@" || exit 1
mkdir started 2>/dev/null || exit 0
trap '' HUP INT QUIT
date +%s > begun
: > log
cat > job.sh <<'GPURENT_END_OF_JOB'
room=$1
echo $$ > "$room/pid.new"
awk '{print $22}' /proc/$$/stat > "$room/born" 2>/dev/null
mv "$room/pid.new" "$room/pid"
trap - HUP INT QUIT
@env@
export PYTHONUNBUFFERED=1
(
  cd "$HOME" && cd @folder@ || exit 126
  @command@
)
code=$?
echo "$code $(date +%s)" > "$room/exit.new" && mv "$room/exit.new" "$room/exit"
GPURENT_END_OF_JOB
if command -v setsid >/dev/null 2>&1; then run=setsid; else run=; fi
$run sh job.sh "$PWD" > log 2>&1 < /dev/null &
if tail --version >/dev/null 2>&1; then
  tail -n +1 --pid=$! -f log 2>/dev/null
  wait $!
else
  tail -n +1 -f log & shown=$!
  wait %1 2>/dev/null
  while [ ! -f exit ] && kill -0 "$(cat pid 2>/dev/null)" 2>/dev/null; do sleep 1; done
  kill $shown
fi
"""


def run_script(job: Job) -> str:
    """The text of ``run.sh`` for ``job``; every value quoted, the command as the user's own shell line."""
    env = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in sorted(job.env.items()))
    parts = {"room": job.room, "env": env, "folder": shlex.quote(job.folder), "command": job.command}
    text = _SCRIPT
    for name, value in parts.items():
        text = text.replace(f"@{name}@", value)
    return text
