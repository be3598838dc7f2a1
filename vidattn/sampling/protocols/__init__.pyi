from .evaluation_protocol import Protocol as Protocol
from .published import protocol as protocol
from .published import protocol_names as protocol_names
