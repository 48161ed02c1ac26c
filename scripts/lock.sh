#!/bin/sh
# Writes requirements/dev.txt again: every package that core, the plugins, the sandbox and the tools need,
# pinned by version and hash, and with no address in it. Extra arguments go to uv (for one: --upgrade).
set -eu
cd "$(dirname "$0")/.."

if ! command -v uv >/dev/null 2>&1; then
    echo "scripts/lock.sh needs uv; get it with 'pip install uv' and run this again." >&2
    exit 1
fi

new=$(mktemp)
wanted=$(mktemp)
trap 'rm -f "$new" "$wanted"' EXIT
if [ -f requirements/dev.txt ]; then cp requirements/dev.txt "$new"; fi # known pins stay unless --upgrade

"${PYTHON:-python3}" scripts/list_requirements.py >"$wanted"
uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
    --no-config --output-file "$new" "$@" - <"$wanted"

if grep -nE '://|^-' "$new"; then
    echo "scripts/lock.sh: the lines above name a host or an option; requirements/dev.txt is left as it was." >&2
    exit 1
fi
mkdir -p requirements
cmp -s "$new" requirements/dev.txt || cat "$new" >requirements/dev.txt
echo "requirements/dev.txt: $(grep -c '==' requirements/dev.txt) packages"
