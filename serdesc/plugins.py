"""A folder of one's own beside the package: SERDESC_PLUGINS/{corpora,metrics,traits}/<name>.py and SERDESC_PLUGINS/systems/<name>.yaml.

What lies there is found as if it lay in the package, so that a corpus, a metric, a descriptor or a system is one file wherever it is kept.
"""

from __future__ import annotations

import os
from pathlib import Path


def folders(kind: str) -> list[str]:
    """The folder of a kind, if there is one; put behind a package's own __path__."""
    base = os.environ.get("SERDESC_PLUGINS", "")
    return [str(Path(base, kind))] if base and Path(base, kind).is_dir() else []
