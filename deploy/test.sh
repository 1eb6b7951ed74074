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
$bin/mypy -p survnode.node -p survnode.model -p survnode.train
at_least "mypy on tests" "$(find tests -name '*.py' | wc -l)" 10
$bin/mypy tests
at_least "import-linter" "$(grep -c 'tool.importlinter.contracts' pyproject.toml)" 3
$bin/lint-imports
# Two processes side by side, a file in one of them (tests/conftest.py). Each computes with one thread: with more they
# would wait for each other. Coverage costs half as much time again: ask for it by --cov.
OMP_NUM_THREADS=1 $bin/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations 25 "$@"
