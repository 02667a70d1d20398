"""What a model bundle is on disk: a manifest with hashes; anything else is refused."""

import hashlib
from pathlib import Path

import msgspec

from gateway.core.errors import Misconfigured


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the bundle. `made_by` is the training step; `metrics` what was measured when it was made."""

    sha256: str
    size: int
    made_by: str
    metrics: dict[str, float] = {}


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The bundle's contents. `features` is the feature contract: the names in order, per modality."""

    schema: str = "andon.bundle/1"
    created_at: str
    seed: int
    parts: dict[str, Part]
    features: dict[str, tuple[str, ...]] = {}
    notes: dict[str, str] = {}

    @property
    def digest(self) -> str:
        """Twelve hex digits that name this bundle: a hash over the parts' hashes."""
        facts = "\n".join(f"{name} {part.sha256}" for name, part in sorted(self.parts.items()))
        return hashlib.sha256(facts.encode()).hexdigest()[:12]


def read_manifest(bundle: Path) -> Manifest:
    """Read a bundle's manifest. Raises `Misconfigured` when there is none, or it is not one."""
    try:
        return msgspec.json.decode((bundle / "manifest.json").read_bytes(), type=Manifest)
    except OSError as lost:
        raise Misconfigured(f"{bundle} holds no manifest.json: not a model bundle") from lost
    except msgspec.DecodeError as bad:
        raise Misconfigured(f"{bundle}/manifest.json: {bad}") from bad


def open_part(bundle: Path, name: str) -> Path:
    """Give the path of a part after checking its hash. Raises `Misconfigured` when a byte differs."""
    manifest = read_manifest(bundle)
    if name not in manifest.parts:
        raise Misconfigured(f"{bundle}: the manifest has no part {name!r}; run `andon models train`")
    path = bundle / name
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as lost:
        raise Misconfigured(f"{path}: {lost.strerror}") from lost
    if digest != manifest.parts[name].sha256:
        raise Misconfigured(f"{path}: sha256 is {digest}, the manifest says {manifest.parts[name].sha256}")
    return path


def put_part(
    bundle: Path, name: str, made_by: str, metrics: dict[str, float], *, seed: int, created_at: str
) -> Manifest:
    """Enter a file that stands in the bundle into the manifest, replacing an older entry."""
    content = (bundle / name).read_bytes()
    part = Part(sha256=hashlib.sha256(content).hexdigest(), size=len(content), made_by=made_by, metrics=metrics)
    try:
        manifest = read_manifest(bundle)
    except Misconfigured:
        manifest = Manifest(created_at=created_at, seed=seed, parts={})
    manifest = msgspec.structs.replace(manifest, created_at=created_at, seed=seed, parts={**manifest.parts, name: part})
    write_manifest(bundle, manifest)
    return manifest


def write_manifest(bundle: Path, manifest: Manifest) -> None:
    """Write the manifest, sorted and readable."""
    text = msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=1)
    (bundle / "manifest.json").write_bytes(text + b"\n")
