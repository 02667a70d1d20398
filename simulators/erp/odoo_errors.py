"""What an Odoo says when it does not do what it is asked for."""

import json
import time

from simulators.erp.asgi import Response, json_response


def error(status: int, name: str, message: str) -> Response:
    """Give an error as JSON-2 does, with its traceback."""
    debug = f'Traceback (most recent call last):\n  File "/opt/odoo/odoo/http.py", line 2251\n{name}: {message}\n'
    return json_response(
        status, {"name": name, "message": message, "arguments": [message], "context": {}, "debug": debug}
    )


def not_loaded(field_name: str, message: str) -> Response:
    """Give what `load` answers when it took nothing: 200 with messages."""
    said = {
        "type": "error",
        "message": message,
        "rows": {"from": 0, "to": 0},
        "record": 0,
        "moreinfo": [],
        "at": time.time(),
    }
    if field_name:
        said["field"] = field_name
    return Response(
        200,
        json.dumps({"ids": False, "messages": [said], "nextrow": False}).encode(),
        {"content-type": "application/json; charset=utf-8"},
    )


def forbidden(model: str) -> Response:
    """Refuse as Odoo does, with a user's name."""
    text = (
        f"Sorry, Robin Example (id=7) doesn't have 'create' access to:\n- {model}\n"
        "\nThis operation is allowed for the following groups:\n\t- Maintenance/Equipment Manager"
    )
    return error(403, "odoo.exceptions.AccessError", text)
