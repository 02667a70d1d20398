"""Settings of a MES that speaks B2MML-JSON."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

from connectors.erp.b2mml.adapter import B2mml, longest_call
from connectors.erp.b2mml.message import Messages
from connectors.erp.mapping import Rule
from connectors.erp.rest.access import Access
from gateway.core.units import Duration

SAMPLE = """
[erp.main]
protocol = "b2mml"
base_url = "https://mes.example"
token_url = "https://mes.example/oauth/token"
client_id = "andon"
client_secret = { env = "MES_SECRET" }
path = "/b2mml"                    # messages go to /b2mml/ProcessJobList and so on
sender = "andon"
remembers = "30d"                  # if it archives orders: for how long it shows one, at least
"""


class Settings(Access, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One MES. Messages are posted to `path`/<message>, or with `one_address` all to `path`.

    `sender` is our LogicalID. `parameters` are those of a job order (the mapping of other ERPs); `link` is an address
    for people, with {key} for the order's key. `closing_parameter` is the JobOrderParameter that holds the closing
    code. `remembers` is for how long the MES surely shows a job order that it took, and refuses its ID: one in doubt
    for longer, that it does not show, is for a person. Without it the MES never archives an order.
    """

    path: Annotated[str, msgspec.Meta(pattern=r"^/[^\s?#]*$", max_length=200)] = "/b2mml"
    one_address: bool = False
    sender: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] = "andon"
    parameters: dict[str, str | Rule] = msgspec.field(default_factory=dict)
    link: str = ""
    closing_parameter: str = ""
    remembers: Duration | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        longest = longest_call(self.timeout).total_seconds()
        if self.remembers is not None and not self.remembers > longest:
            raise ValueError(f"remembers is more than {longest:g}s, which is how long one order may take")

    def open(self) -> B2mml:
        """Make the adapter. Raises `Misconfigured` without a secret, or with parameters that cannot be."""
        door, tokens = self.door({"accept": "application/json"})
        return B2mml(
            self.name,
            door,
            tokens,
            Messages(self.sender, self.parameters, self.link),
            path=self.path.rstrip("/"),
            each=not self.one_address,
            closing=self.closing_parameter,
            timeout_s=self.timeout,
            remembers=None if self.remembers is None else timedelta(seconds=self.remembers),
            now=lambda: datetime.now(UTC),
        )
