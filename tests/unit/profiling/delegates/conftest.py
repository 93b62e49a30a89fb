"""Files to check, made once."""

from pathlib import Path

import pytest
from unit.profiling.delegates import files


@pytest.fixture(scope="session")
def ours(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One small network in three precisions."""
    return files.write(tmp_path_factory.mktemp("delegates"))
