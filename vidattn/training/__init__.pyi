from .data_module import VideoDataModule as VideoDataModule
from .parameters import freeze as freeze
from .parameters import parameter_groups as parameter_groups
from .recognition import RecognitionTask as RecognitionTask
from .result import Training as Training
from .result import Validation as Validation
from .settings import Augmentation as Augmentation
from .settings import Optimisation as Optimisation
