#!/bin/sh
# Writes requirements/dev.txt again: every package that core, the plugins, the sandbox and the tools need, pinned by
# version and hash, and with no address in it; requirements/mutation.txt: mutmut with everything that it needs; and
# requirements/docs.txt: Sphinx likewise.
# Extra arguments go to uv (for one: --upgrade).
set -eu
cd "$(dirname "$0")/.."

if ! command -v uv >/dev/null 2>&1; then
    echo "scripts/lock.sh needs uv; get it with 'pip install uv' and run this again." >&2
    exit 1
fi

new=$(mktemp)
wanted=$(mktemp)
trap 'rm -f "$new" "$wanted"' EXIT

# lock FILE ARGUMENTS: pin what the file $wanted asks for
lock() {
    file=$1
    shift
    : >"$new"
    if [ -f "$file" ]; then cp "$file" "$new"; fi # known pins stay unless --upgrade
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
        --no-config --output-file "$new" "$@" - <"$wanted"
    if grep -nE '://|^-' "$new"; then
        echo "scripts/lock.sh: the lines above name a host or an option; $file is left as it was." >&2
        exit 1
    fi
    mkdir -p requirements
    cmp -s "$new" "$file" || cat "$new" >"$file"
    echo "$file: $(grep -c '==' "$file") packages"
}

"${PYTHON:-python3}" scripts/list_requirements.py >"$wanted"
lock requirements/dev.txt "$@"
echo 'mutmut>=3.8.1' >"$wanted"
lock requirements/mutation.txt --constraints requirements/dev.txt "$@" # it is installed beside them
cp requirements/docs.in "$wanted"
lock requirements/docs.txt --constraints requirements/dev.txt "$@" # what the site shows is what is tested
echo "Now install them (make setup), then write the lists of a release: .venv/bin/python scripts/release_lists.py"
