#!/usr/bin/env bash
# Makes a virtual environment, installs survnode with its test extra, and runs every check: style, types, import
# contracts, tests. As root on Debian it installs the peers that tests talk to; elsewhere the tests that need an
# absent peer are skipped and counted aloud. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
. deploy/environment.sh

peers=(dcmtk default-jre-headless libpixelmed-java orthanc orthanc-dicomweb poppler-utils strace)
command -v npm >/dev/null || peers+=(nodejs npm) # some packages of Node.js bring npm along and exclude Debian's
if [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ]; then
    missing=()
    for peer in "${peers[@]}"; do
        dpkg-query -W -f '${Status}' "$peer" 2>/dev/null | grep -q 'install ok installed' || missing+=("$peer")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
    fi
fi

install_survnode '.[test]'
bin=.venv/bin

at_least() { # name, number of files that the check saw, least number: a check that matched no file has checked nothing
    [ "$2" -ge "$3" ] || { echo "$1 saw $2 files, expected at least $3" >&2; exit 1; }
}

at_least "ruff" "$($bin/ruff check --show-files | wc -l)" 50
$bin/ruff check
$bin/ruff format --check
at_least "import-linter" "$(grep -c 'tool.importlinter.contracts' pyproject.toml)" 3
$bin/lint-imports
at_least "mypy on tests" "$(find tests -name '*.py' | wc -l)" 10
types() {
    $bin/mypy -p survnode.node -p survnode.model -p survnode.train && $bin/mypy tests
}
said=$(mktemp)
types >"$said" 2>&1 & # beside the tests: without the cache of an earlier run it takes the better part of a minute
types=$!
trap 'kill "$types" 2>/dev/null || true; rm -f "$said"' EXIT
# Four processes side by side, a file in one of them (tests/conftest.py): half of the time a test waits for a node or a
# peer, so that two cores are busy. Each may take 2.5 GiB of memory; where that is too much, or cores are many, give
# another --numprocesses. Each computes with one thread: with more they would wait for each other. Coverage costs half
# as much time again: ask for it by --cov.
OMP_NUM_THREADS=1 $bin/python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder --durations 25 "$@" &&
    tested=0 || tested=$?
wait "$types" && typed=0 || typed=$?
cat "$said"
exit $((tested || typed))
