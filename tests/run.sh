#!/bin/sh
# Installs what the tests need (Debian packages by apt, Python by venv) and runs them all: the checkers, then pytest.
# With arguments, those go to one pytest. Needs root: the tests make loop devices, mounts and namespaces.
set -eu
cd "$(dirname "$0")/.."
. examples/setup.sh

need_root tests/run.sh
LOCALARM_ON_AZURE=1 # the tests' clouds are their own, and CI machines are often VMs in Azure
export LOCALARM_ON_AZURE
# shellcheck disable=SC2086 # a list of words
need_packages $GILDER_PACKAGES xfsprogs btrfs-progs procps iproute2 ansible-core
want_packages packer # the last with azure-chroot built in, to compare with: Debian 13 has none
venv=${GILDER_VENV:-.venv}
need_venv "$venv" '.[test]'
PATH=$(cd "$venv/bin" && pwd):$PATH
export PATH

ruff check
ruff format --check
if [ $# -gt 0 ]; then
	mypy
	lint-imports
	exec python -m pytest "$@"
fi

# Two halves side by side: what needs no root (pure, or in virtual time, the quick part of the sweeps among it), and what
# makes devices, mounts and namespaces on this machine (marked `root`). The second half stays one process: only one embedded cloud
# may own /dev/disk/azure, and what a test leaves is looked for on the whole machine.
report=$(mktemp)
(mypy && lint-imports && exec python -m pytest -o cache_dir=.pytest_cache/pure --half=pure) >"$report" 2>&1 &
half=$!
# `|| :` because `set -e` holds in the trap too: killing a half that has ended would make a green run exit with 1.
trap 'kill $half 2>/dev/null || :; rm -f "$report"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
status=0
python -m pytest --half=devices || status=$?
wait $half || status=$?
cat "$report"
exit $status
