"""Rules of the house that no linter knows, held against the syntax of every file that ships."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = ("gateway", "connectors", "nlp", "simulators", "migrations")
FILES = sorted(file for room in PRODUCT for file in (ROOT / room).rglob("*.py"))
BANNED_IMPORTS = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib", "authlib.jose", "httpx"}
PROOF = re.compile(r"(^|_)(mac|hmac|signature|secret|password|passwd|client_secret|api_key|token)$", re.IGNORECASE)
MACHINE = re.compile(r"(^|[\s\"'=:])(/(home|root|work|Users|workspace|builds)/[\w.]|[A-Z]:\\\\)")


def broken(tree: ast.AST) -> Iterator[str]:
    """Name what a file does against the rules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (f"{node.lineno}: imports {name.name}" for name in node.names if _banned(name.name))
        elif isinstance(node, ast.ImportFrom):
            names = [str(node.module), *(f"{node.module}.{name.name}" for name in node.names)]
            yield from (f"{node.lineno}: imports {name}" for name in names if _banned(name))
            if node.module == "asyncio" and any(name.name == "wait_for" for name in node.names):
                yield f"{node.lineno}: asyncio.wait_for"
        elif isinstance(node, ast.Compare):
            yield from _compared(node)
        elif isinstance(node, ast.Call):
            yield from _called(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and MACHINE.search(node.value):
            yield f"{node.lineno}: the path of a machine: {node.value[:60]!r}"


def _banned(name: str) -> bool:
    return any(name == banned or name.startswith(f"{banned}.") for banned in BANNED_IMPORTS)


def _name(node: ast.AST) -> str:
    """Give the last name of `a.b.c`, of `a.b()` and of `a["b"]`."""
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case ast.Call(func=called):
            return _name(called)
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
    return ""


def _compared(node: ast.Compare) -> Iterator[str]:
    sides = [node.left, *node.comparators]
    for operator, left, right in zip(node.ops, sides, sides[1:], strict=False):
        plain = isinstance(right, ast.Constant) and (right.value is None or right.value == "")
        for side in (left, right):
            if isinstance(operator, ast.Eq | ast.NotEq) and PROOF.search(_name(side)) and not plain:
                yield f"{node.lineno}: {_name(side)} is compared by ==; use hmac.compare_digest"


def _called(node: ast.Call) -> Iterator[str]:
    said = ast.unparse(node.func)
    given = {word.arg: word.value for word in node.keywords}
    if said == "asyncio.wait_for":
        yield f"{node.lineno}: asyncio.wait_for; use asyncio.timeout"
    if said == "torch.load" and not _is(given.get("weights_only"), value=True):
        yield f"{node.lineno}: torch.load without weights_only"
    if "allow_pickle" in given and not _is(given["allow_pickle"], value=False):
        yield f"{node.lineno}: allow_pickle"
    if said in {"yaml.load", "eval", "exec", "os.system"} or _is(given.get("shell"), value=True):
        yield f"{node.lineno}: {said}"
    if _is(given.get("verify"), value=False):
        yield f"{node.lineno}: a certificate is not verified"


def _is(node: ast.expr | None, *, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def test_every_room_is_looked_at() -> None:
    assert {file.relative_to(ROOT).parts[0] for file in FILES} == set(PRODUCT)
    assert len(FILES) > 100


@pytest.mark.parametrize("room", PRODUCT)
def test_no_file_breaks_a_rule(room: str) -> None:
    found = [
        f"{file.relative_to(ROOT)}:{fault}"
        for file in FILES
        if file.relative_to(ROOT).parts[0] == room
        for fault in broken(ast.parse(file.read_text("utf-8")))
    ]
    assert found == []


@pytest.mark.parametrize(
    "bad",
    [
        "import pickle",
        "from joblib import load",
        "import httpx",
        "from authlib.jose import jwt",
        "from authlib import jose",
        "torch.load(file)",
        "torch.load(file, weights_only=False)",
        "np.load(file, allow_pickle=True)",
        "if mine.signature == theirs: pass",
        "if headers['signature'] != wanted: pass",
        "if wanted == compute_hmac(body): pass",
        "await asyncio.wait_for(work, 3)",
        "from asyncio import wait_for",
        "open('/home/me/models/x')",
        "Client(verify=False)",
    ],
)
def test_each_rule_is_able_to_fail(bad: str) -> None:
    assert list(broken(ast.parse(bad)))


@pytest.mark.parametrize(
    "good",
    ["import httpx2", "torch.load(file, weights_only=True)", "if secret is None: pass", "if token == '': pass",
     "hmac.compare_digest(signature, wanted)", "Path('/etc/andon/andon.toml')", "some.wait_for(there)"],
)  # fmt: skip
def test_what_is_right_passes(good: str) -> None:
    assert list(broken(ast.parse(good))) == []
