"""From linear light to a finished photograph: light under the skin, noise, tone curve, backdrop."""

import numpy as np
from scipy.ndimage import convolve, gaussian_filter

from skimage.restoration import denoise_nl_means

from .renderer import Picture

# Reach of light under the skin in cm, per channel (after Jensen et al. 2001: red travels furthest).
DIFFUSION_CM = (0.42, 0.20, 0.13)


def develop(picture: Picture, backdrop: np.ndarray, pixels_per_cm: float, *, diffusion: float = 1.0) -> np.ndarray:
    """Linear backdrop H×W×3 behind the picture → sRGB uint8 H×W×3."""
    rgb = scatter_under_skin(picture, pixels_per_cm * diffusion) + picture.gloss
    rgb = rgb + backdrop * (1 - picture.alpha[..., None])
    return denoise(to_srgb(filmic(bloom(rgb))))


def denoise(image: np.ndarray) -> np.ndarray:
    """Non-local means with the strength that the image's own noise asks for (sRGB uint8 in and out)."""
    values = image.astype(np.float32) / 255
    # Immerkær 1996, with the median instead of the mean: hair's own detail is not noise.
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
    residue = np.abs(convolve(values.mean(-1), kernel)) / 6
    sigma = float(np.median(residue) / 0.6745)
    clean = denoise_nl_means(
        values, h=1.2 * sigma, sigma=sigma, patch_size=3, patch_distance=5, fast_mode=True, channel_axis=-1
    )
    return np.round(np.clip(clean, 0, 1) * 255).astype(np.uint8)


def scatter_under_skin(picture: Picture, pixels_per_cm: float) -> np.ndarray:
    """Screen-space diffusion (Jimenez et al. 2009): blurs the light on the skin, not the skin's colour."""
    whole = np.clip((picture.skin - 0.9) / 0.1, 0, 1)
    albedo = picture.albedo / np.maximum(picture.skin, 1e-3)[..., None]
    light = picture.rgb / np.maximum(albedo, 0.02)
    out = picture.rgb.copy()
    for channel, reach in enumerate(DIFFUSION_CM):
        sigma = reach * pixels_per_cm
        narrow = _masked_blur(light[..., channel], whole, 0.45 * sigma)
        wide = _masked_blur(light[..., channel], whole, 1.4 * sigma)
        diffused = (0.6 * narrow + 0.4 * wide) * albedo[..., channel]
        out[..., channel] = whole * diffused + (1 - whole) * picture.rgb[..., channel]
    return out


def _masked_blur(values: np.ndarray, mask: np.ndarray, sigma: float) -> np.ndarray:
    return gaussian_filter(values * mask, sigma) / np.maximum(gaussian_filter(mask, sigma), 1e-4)


def bloom(rgb: np.ndarray, amount: float = 0.05) -> np.ndarray:
    """A lens' soft glow about bright light."""
    size = rgb.shape[0]
    glow = np.stack([gaussian_filter(np.minimum(rgb[..., k], 4), 0.012 * size) for k in range(3)], -1)
    return (1 - amount) * rgb + amount * glow


def filmic(rgb: np.ndarray, exposure: float = 1.0) -> np.ndarray:
    """Straight up to middle tones, a soft shoulder above 0.6; keeps hue by compressing the largest channel."""
    x = np.maximum(rgb * exposure, 0)
    peak = np.maximum(x.max(-1, keepdims=True), 1e-6)
    knee = 0.55
    soft = np.where(peak < knee, peak, knee + (1 - knee) * (1 - np.exp(-(peak - knee) / (1 - knee))))
    scaled = x * (soft / peak)
    # Very bright colours bleach, as on film.
    white = np.clip((peak - 1.0) / 4.0, 0, 1)
    return scaled * (1 - white) + soft * white


def to_srgb(linear: np.ndarray) -> np.ndarray:
    c = np.clip(linear, 0, 1)
    encoded = np.where(c <= 0.0031308, 12.92 * c, 1.055 * c ** (1 / 2.4) - 0.055)
    return np.round(encoded * 255).astype(np.uint8)
