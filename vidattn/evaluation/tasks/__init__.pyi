from .built_in import TASKS as TASKS
