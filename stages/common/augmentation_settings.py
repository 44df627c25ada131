"""How far training images are changed; apart from augmentation.py, which needs torch."""

from pydantic import Field

from stages.common.settings import Settings


class AugmentationSettings(Settings):
    """No flip: reports say left and right."""

    min_area: float = Field(0.6, gt=0, le=1, description="smallest share of the image that a crop keeps")
    rotation: float = Field(0, ge=0, le=180, description="largest turn to either side, degrees")
    translation: float = Field(0, ge=0, lt=1, description="largest shift along each axis, share of the image's side")
    scale: float = Field(0, ge=0, lt=1, description="largest relative change of size, beside that of the crop")
    brightness: float = Field(0.1, ge=0, description="largest shift of grey values 0..1")
    contrast: float = Field(0.2, ge=0, lt=1, description="largest relative change of contrast")
