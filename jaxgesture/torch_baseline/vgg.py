"""VGG-16 and VGG-19 (arXiv 1409.1556), the convolutional part, with torchvision's names, frozen."""

from collections.abc import Mapping, Sequence

from jaxtyping import Float
from torch import Tensor, nn

WIDTHS = (64, 128, 256, 512, 512)
DEPTHS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}

VGG19_TAPS = (1, 6, 11, 20, 29)  # relu1_1, relu2_1, ..., relu5_1
VGG16_TAPS = (4, 9, 16)  # the first three max-pools

# Of ImageNet's training images, RGB in [0, 1].
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class VGG(nn.Module):
    """The maps behind some modules of VGG; modules behind the last of these are not built.

    The parameters are frozen, and `train()` changes nothing.

    Args:
      name: "vgg16" or "vgg19".
      taps: torchvision indices, rising.
      normalise: subtract ImageNet's mean and divide by its standard deviation first.
    """

    def __init__(self, name: str, taps: Sequence[int], normalise: bool):
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width, depth in zip(WIDTHS, DEPTHS[name], strict=True):
            for _ in range(depth):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.taps, self.normalise = tuple(taps), normalise
        self.features = nn.Sequential(*layers[: self.taps[-1] + 1])
        self.requires_grad_(False)

    @property
    def least_size(self) -> int:
        """The smallest side of an image in pixels that leaves a cell of the last map."""
        return 2 ** sum(isinstance(layer, nn.MaxPool2d) for layer in self.features)

    def load_features(self, state_dict: Mapping[str, Tensor]) -> None:
        """Takes the weights from torchvision's state dict, which holds deeper layers as well.

        Raises:
          KeyError: if a name is missing.
        """
        self.load_state_dict({name: state_dict[name] for name in self.state_dict()})

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b c h2 w2"]]:
        """Returns one map a tap; images are RGB in [0, 1], sides at least `least_size`."""
        x = normalise(image) if self.normalise else image
        maps = []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in self.taps:
                maps.append(x)
        return maps


def normalise(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """(image - mean) / std of ImageNet, channel by channel, for images in [0, 1]."""
    # Made in the image's type: a float32 buffer would stay rounded in a float64 network.
    mean, std = (image.new_tensor(values)[:, None, None] for values in (MEAN, STD))
    return (image - mean) / std


def vgg19() -> VGG:
    """The network of the global loss: five taps, images normalised."""
    return VGG("vgg19", VGG19_TAPS, normalise=True)


def vgg16() -> VGG:
    """The network of the local loss: three taps, images as they are."""
    return VGG("vgg16", VGG16_TAPS, normalise=False)
