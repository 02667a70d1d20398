"""The ERP's only page: the orders that it has."""

from html import escape

from simulators.erp.book import Order

_HEAD = """<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="2">
<title>Simulated ERP</title><style>
body{font:15px/1.4 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1c2733}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.4rem .6rem;border-bottom:1px solid #d8dfe6}
th{font-weight:600}tr.twice td{background:#fdecea}code{font-size:13px}
@media (prefers-color-scheme:dark){body{background:#11171d;color:#dde5ec}td,th{border-color:#2b3742}
tr.twice td{background:#4a1f1b}}</style></head><body><h1>Simulated ERP</h1>"""


def orders_page(orders: list[Order]) -> bytes:
    """Give the list of orders as a page, newest first; an order made twice is marked."""
    times: dict[str, int] = {}
    for order in orders:
        times[order.reference] = times.get(order.reference, 0) + 1
    rows = "".join(_row(order, times[order.reference]) for order in reversed(orders))
    twice = sum(count - 1 for count in times.values())
    return (
        f"{_HEAD}<p>{len(orders)} work orders, {twice} duplicates</p><table><thead><tr><th>Number</th>"
        f"<th>Reference</th><th>Equipment</th><th>Title</th><th>Priority</th><th>Status</th></tr></thead><tbody>{rows}</tbody></table>"
        "</body></html>"
    ).encode()


def _row(order: Order, times: int) -> str:
    mark = ' class="twice"' if times > 1 else ""
    cells = (order.number, order.reference, order.equipment or "-", order.title, order.body.get("priority", ""))
    told = "".join(f"<td>{escape(str(cell))}</td>" for cell in cells)
    return f"<tr{mark}>{told}<td>{escape(order.status)} {escape(order.closing_code or '')}</td></tr>"
