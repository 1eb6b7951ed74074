# Sourced by demo.sh and test.sh: one virtual environment in .venv, made once, brought up to date each time.

install_survnode() { # a pip requirement: . or .[test]
    local python=${PYTHON:-python3}
    if [ ! -x .venv/bin/python ]; then
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
            { echo "survnode needs Python 3.11 or newer; name one by PYTHON=..." >&2; exit 1; }
        "$python" -m venv .venv
    fi
    echo "Installing survnode and what it needs into .venv; the first time takes a few minutes." >&2
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable "$1"
}
