"""Which software a figure was made with."""

from __future__ import annotations

import platform
import subprocess
import sys
from functools import cache
from pathlib import Path

import enterprise_lab

_LIBRARIES = ("numpy", "sklearn", "torch", "jax", "transformers")
_PACKAGE = Path(enterprise_lab.__file__).parent
_GIT_SECONDS = 10.0


@cache
def kit_commit() -> str:
    """Return the commit of the clone this package runs from, with "-dirty" after local changes.

    Changes are those to files that git knows. "" where the package is installed without a clone,
    also inside somebody else's, and where there is no git.
    """
    if not _git("ls-files", "--error-unmatch", "__init__.py"):
        return ""
    return _git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def software() -> dict[str, str]:
    """Return the versions of Python, of this package and of what is loaded of the libraries."""
    loaded = {name: sys.modules[name] for name in _LIBRARIES if name in sys.modules}
    versions = {name: str(getattr(module, "__version__", "")) for name, module in loaded.items()}
    cuda = getattr(getattr(loaded.get("torch"), "version", None), "cuda", None)
    return {
        "python": platform.python_version(),
        "enterprise-lab": enterprise_lab.__version__,
        **versions,
        **({"cuda": str(cuda)} if cuda else {}),
    }


def _git(*words: str) -> str:
    try:
        done = subprocess.run(
            ["git", *words], cwd=_PACKAGE, capture_output=True, text=True, timeout=_GIT_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
