from . import attention as attention
from . import backbones as backbones
from . import data as data
from . import errors as errors
from . import evaluation as evaluation
from . import inference as inference
from . import jobs as jobs
from . import models as models
from . import report as report
from . import runs as runs
from . import sampling as sampling
from . import selection as selection
from . import training as training
from . import video as video
from .inference import extract_keyframes as extract_keyframes
from .inference import find_shots as find_shots
from .inference import load as load
from .inference import stream_shots as stream_shots
from .jobs import evaluate as evaluate
from .jobs import explain as explain
from .jobs import show as show
from .jobs import train as train
from .jobs import write_keyframes as write_keyframes
from .jobs import write_predictions as write_predictions
from .jobs import write_shots as write_shots
from .video import open_video as open_video

__version__: str
