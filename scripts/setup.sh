# Sourced by the other scripts: makes .venv beside this folder's parent and installs Chainrule there.
# Usage: . setup.sh EXTRA   (an extra of pyproject.toml, e.g. figures or dev)
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root"
python="${PYTHON:-python3}"
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "Chainrule needs Python 3.11 or newer; set PYTHON to one (found: $("$python" --version 2>&1))" >&2
    exit 2
fi
stamp=".venv/.installed-$1"
if [ ! -f "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
    echo "Setting up .venv (once) ..." >&2
    [ -x .venv/bin/python ] || "$python" -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -e ".[$1]"
    touch "$stamp"
fi
