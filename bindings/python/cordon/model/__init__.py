"""The software IOMMU and its misbehaving devices as a platform: in process, in milliseconds."""
from ..errors import LibraryError
from ._abi import CORDON_MODEL_CAPABILITIES as CAPABILITIES
from ._abi import SgDescriptor
from ._lib import ModelError, library
from .engine import Engine
from .iommu import Answer, Cache, ModelIommu
from .platform import ModelPlatform, ModelPort


def missing() -> str | None:
    """Why the model cannot run here, or None."""
    try:
        library()
    except LibraryError as why:
        return str(why)
    return None


__all__ = ["CAPABILITIES", "Answer", "Cache", "Engine", "ModelError", "ModelIommu", "ModelPlatform", "ModelPort",
           "SgDescriptor", "missing"]
