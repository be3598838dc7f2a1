from .checkpoint import load as load
from .checkpoint import save as save
from .loaded import LoadedRecogniser as LoadedRecogniser
from .locate import Locator as Locator
from .recogniser import Recogniser as Recogniser
from .recogniser import Recognition as Recognition
from .spec import InsertionSpec as InsertionSpec
from .spec import RecogniserSpec as RecogniserSpec
