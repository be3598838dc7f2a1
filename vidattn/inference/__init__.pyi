from .keyframes import KeyFrame as KeyFrame
from .keyframes import KeyFrames as KeyFrames
from .keyframes import extract_keyframes as extract_keyframes
