"""Makes the goldens of issue 6 with Keras and PyTorch. README.md says what they hold.

    python3 bench/goldens/generate.py [--venv DIR]

The script makes a virtual environment with the versions of requirements.txt (default bench/.venv; one that is there is
used again), and runs itself in it.
"""

import argparse
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LAYERS = ROOT / "device" / "devicetest" / "testdata" / "goldens"
SCHEDULES = ROOT / "train" / "testdata"


def enter(venv):
    """Goes on in the virtual environment."""
    python = venv / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", "-r", HERE / "requirements.txt"], check=True)
    # XLA splits work by the number of threads; one thread gives the same bits on every machine.
    env = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1",
           "PYTHONDONTWRITEBYTECODE": "1", "GCNN_GOLDENS_VENV": str(venv)}
    sys.exit(subprocess.run([python, __file__], env=env).returncode)


def main():
    import jax

    jax.config.update("jax_enable_x64", True)

    from keras.src.backend.common import dtypes

    # On JAX, Keras rounds to float32 wherever types are promoted, also in float64 mode. (On TensorFlow it does not, but
    # TensorFlow keeps constants of some activations in float32.) The comparisons with PyTorch would notice either.
    dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"

    import layers
    import losses
    import optimizers
    import schedules

    LAYERS.mkdir(parents=True, exist_ok=True)
    SCHEDULES.mkdir(parents=True, exist_ok=True)
    layers.generate(LAYERS / "layers2")
    losses.generate(LAYERS / "losses")
    optimizers.generate(LAYERS / "optim2")
    schedules.generate(SCHEDULES / "schedules.json")


if __name__ == "__main__":
    if "GCNN_GOLDENS_VENV" in os.environ:
        main()
    else:
        parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
        parser.add_argument("--venv", type=pathlib.Path, default=ROOT / "bench" / ".venv")
        enter(parser.parse_args().venv.resolve())
