from .files import ACTIONS as ACTIONS
from .files import TRUTH_FILE as TRUTH_FILE
from .files import ActionTruth as ActionTruth
from .files import read_truth as read_truth
from .files import write_actions as write_actions
