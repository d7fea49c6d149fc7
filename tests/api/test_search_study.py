"""A study that several processes begin at the same moment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BEGIN = """
import sys
from pathlib import Path
from herder.api.search_choices import PrunerName
from herder.api.search_study import open_study
study = open_study(sys.argv[1], "both", Path(sys.argv[2]), {"epochs": 3}, PrunerName.MEDIAN, 3)
print(study.study_name)
"""


@pytest.mark.slow
def test_processes_that_begin_one_database_together(tmp_path: Path) -> None:
    """Optuna itself makes its tables without a lock; each round is a new database."""
    for number in range(3):
        url = f"sqlite:///{tmp_path / f'{number}.db'}"
        started = [
            subprocess.Popen(
                [sys.executable, "-c", BEGIN, url, str(tmp_path / f"out{i}")],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for i in range(4)
        ]
        ended = [(process.communicate(timeout=120), process.returncode) for process in started]
        assert [(out.strip(), code) for (out, _), code in ended] == [("both", 0)] * 4, ended
