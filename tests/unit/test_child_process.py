"""What worker processes are started with."""

import subprocess
import sys
from pathlib import Path

import pytest

from mobile_seg.child_process import MODULE


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no switch for it")
def test_a_folder_of_our_name_is_not_taken_for_us(tmp_path: Path) -> None:
    (tmp_path / "mobile_seg").mkdir()
    (tmp_path / "mobile_seg" / "__init__.py").write_text("raise SystemExit(3)")
    done = subprocess.run([*MODULE, "mobile_seg", "--version"], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0
