"""Names of files, as settings give them."""

from typing import Annotated

import msgspec

FileName = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
