"""The script that runs a job inside a session: written once here, for every keeper."""

from __future__ import annotations

import re
import shlex

from gpurent.domain.session import Job

# Its first act is an atomic mkdir, so that a job never runs twice. The job is led by its own session (setsid where
# there is one): neither the terminal's hang-up nor a Ctrl-C typed into it reaches the job, which has its signals
# as usual (env: a shell cannot undo an ignored one for its children). The terminal only shows the log. The leader
# outlives a TERM to its group: what the command made of it is the exit code.
_SCRIPT = r"""#!/bin/sh
cd "$HOME/@room@" || exit 1
mkdir started 2>/dev/null || exit 0
trap '' HUP INT QUIT
date +%s > begun
: > log
cat > job.sh <<'@end@'
room=$1
trap : TERM
awk '{print $22}' /proc/$$/stat > "$room/born" 2>/dev/null
echo $$ > "$room/pid.new" && mv "$room/pid.new" "$room/pid"
@env@
export PYTHONUNBUFFERED=1
(
  cd "$HOME" && cd @folder@ || exit 126
  eval @command@
)
code=$?
echo "$code $(date +%s)" > "$room/exit.new" && mv "$room/exit.new" "$room/exit"
@end@
run=
if command -v setsid >/dev/null 2>&1; then
  run=setsid
  env --default-signal=INT true 2>/dev/null && run="setsid env --default-signal=HUP,INT,QUIT"
fi
$run sh job.sh "$PWD" >> log 2>&1 < /dev/null &
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
    parts = {
        "room": job.room,
        "env": env,
        "folder": shlex.quote(job.folder),
        "command": shlex.quote(job.command),
    }
    end = "GPURENT_END_OF_JOB"
    while end in "".join(parts.values()):
        end += "_"
    parts["end"] = end
    # One pass: a value that looks like a mark of ours stays what it is.
    return re.sub("@(room|env|folder|command|end)@", lambda mark: parts[mark[1]], _SCRIPT)
