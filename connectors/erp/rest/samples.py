"""Settings as an operator writes them, one for each way to make sure that an order is there once."""

SAMPLE = """
[erp.main]
protocol = "rest"
base_url = "https://erp.example"
token_url = "https://erp.example/oauth/token"
client_id = "andon"
client_secret = { env = "ERP_SECRET" }
audience = "erp"
idempotency = "header"         # the ERP honours Idempotency-Key; "lookup" when it does not
replay_window = "12h"          # how long it remembers one, at least
settle = "60s"                 # its longest time to carry out a request that was given up
precondition = "etag"          # a change carries the version that was read
fields_in = "order"            # where a record shows the fields that we filled

[erp.main.mapping]
reference = "key"
title = { from = "title", max = 80 }
description = { from = "text", max = 4000 }
equipment = { from = "asset", max = 40 }
priority = "priority"            # or from = "priority" with values = { 1 = "urgent", ... }
source = { constant = "ANDON" }

[erp.main.states]                # the ERP's words; nobody has begun an order that is "open"
open = ["OPEN"]
begun = ["IN_PROGRESS"]
done = ["CLOSED"]
cancelled = ["CANCELLED"]

[erp.main.amend]
path = "/api/orders/{number}"

[erp.main.cancel]
path = "/api/orders/{number}"
body = { status = "CANCELLED" }
reason = "closing_code"

[erp.main.batch]                 # orders of one request, each with a reply of its own
path = "/api/orders/batch"
size = 50
rows = "orders"
item = "order"
key = "key"
answers = "results"
record = "order"
error = "problem"

[erp.main.metadata]              # the mapping is compared with it before the first order
path = "/api/schema"

[erp.main.probe]                 # OPTIONS: may we make orders?
path = "/api/orders"
"""

UPSERT = """
[erp.main]
protocol = "rest"
base_url = "https://erp.example"
auth = "api_key"
api_key = { env = "ERP_KEY" }
api_key_header = "x-api-key"
idempotency = "upsert"           # PUT /api/orders/<our key>
create_only = true               # with If-None-Match: *, so that a second one writes nothing over
precondition = "timestamp"       # a change carries the time of change that was read, in its body
version_field = "updated_at"
fields_in = "order"
stale = [409]

[erp.main.mapping]
reference = "key"
title = { from = "title", max = 80 }

[erp.main.amend]
path = "/api/orders/{key}"

[erp.main.metadata]
path = "/api/openapi.json"
schema = "components.schemas.NewOrder"
"""

CLIENT_ID = """
[erp.main]
protocol = "rest"
base_url = "https://erp.example"
auth = "basic"
user = "andon"
password = { env = "ERP_PASSWORD" }
idempotency = "client_id"        # the number is ours, and a number that is taken is refused
taken = [409]

[erp.main.mapping]
number = "key"
reference = "key"
title = { from = "title", max = 80 }

[erp.main.probe]                 # a dry run: only where it is known that nothing is made
method = "POST"
path = "/api/orders"
params = { dry_run = "true" }
"""

LOOKUP = """
[erp.main]
protocol = "rest"
base_url = "https://erp.example"
auth = "none"
cert_file = "/etc/andon/erp.crt" # the certificate says who we are
key_file = "/etc/andon/erp.key"
idempotency = "lookup"
settle = "2min"

[erp.main.mapping]
reference = "key"
title = { from = "title", max = 80 }

[erp.main.find]                  # where a look-up is more than one parameter
path = "/api/search"
params = { filter = "reference eq '{key|odata}'", top = "10" }
rows = "items"
"""

NONE = """
[erp.main]
protocol = "rest"
base_url = "https://erp.example"
token_url = "https://erp.example/oauth/token"
client_id = "andon"
client_secret = { env = "ERP_SECRET" }
idempotency = "none"             # it cannot even be asked: a person decides after each doubt

[erp.main.mapping]
title = { from = "title", max = 80 }
description = { from = "text", max = 4000 }
"""

SAMPLES = {"header": SAMPLE, "upsert": UPSERT, "client_id": CLIENT_ID, "lookup": LOOKUP, "none": NONE}
