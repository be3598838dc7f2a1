from __future__ import annotations

import subprocess
import sys


def test_sampling_needs_no_torch():
    code = (
        "import sys, vidattn.sampling as s\n"
        "[getattr(s, name) for name in s.__all__]\n"
        "heavy = {'torch', 'torchvision', 'pytorch_lightning', 'av'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
