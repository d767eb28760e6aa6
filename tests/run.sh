#!/bin/sh
# Installs what the tests need (Debian packages by apt, Python by venv) and runs them all: the checkers, then pytest.
# Arguments go to pytest. Needs root: the tests make loop devices, mounts and namespaces.
set -eu
cd "$(dirname "$0")/.."
. examples/setup.sh

need_root tests/run.sh
# shellcheck disable=SC2086 # a list of words
need_packages $GILDER_PACKAGES xfsprogs btrfs-progs procps iproute2 packer ansible-core
venv=${GILDER_VENV:-.venv}
need_venv "$venv" '.[test]'
PATH=$(cd "$venv/bin" && pwd):$PATH
export PATH

ruff check
ruff format --check
mypy
lint-imports
exec python -m pytest "$@"
