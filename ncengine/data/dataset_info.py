"""What is known of each data set without opening it: sizes, shape, class names. Forms and checks read this; no torch.

Means and standard deviations are those by which images are commonly normalised, a number a channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ncengine.config import data as cfg


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """Sizes of both splits, shape of a sample, class names in label order, source and licence.

    `shape` is (channels, height, width) of images, (d,) of vectors, () where a sample is but its number.
    """

    title: str
    train: int
    test: int
    shape: tuple[int, ...]
    class_names: tuple[str, ...]
    train_per_class: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str


GREY_28, COLOUR_32 = (1, 28, 28), (3, 32, 32)
DIGIT_NAMES = tuple("0123456789")
FASHION_NAMES = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Boot")
CIFAR10_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
STL10_NAMES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
KMNIST_NAMES = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_CIFAR100 = (
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can "
    "castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin "
    "elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard "
    "lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear "
    "pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark "
    "shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone "
    "television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm"
)
CIFAR100_NAMES = tuple(name.replace("_", " ") for name in _CIFAR100.split(" "))

DATASETS: dict[str, DatasetInfo] = {
    "fashion-mnist-mini": DatasetInfo(
        title="Fashion-MNIST, 500 training and 100 test images a class",
        train=5000,
        test=1000,
        shape=GREY_28,
        class_names=FASHION_NAMES,
        train_per_class=(500,) * 10,
        mean=(0.287,),
        std=(0.354,),
        source="Xiao, Rasul, Vollgraf 2017 (MIT licence)",
    ),
    "digits": DatasetInfo(
        title="Handwritten digits, 8×8 grey",
        train=1442,
        test=355,
        shape=(1, 8, 8),
        class_names=DIGIT_NAMES,
        train_per_class=(143, 146, 142, 147, 145, 146, 145, 144, 140, 144),
        mean=(0.305,),
        std=(0.376,),
        source="Alpaydin, Kaynak 1998 (CC BY 4.0)",
    ),
    "mnist": DatasetInfo(
        title="MNIST, handwritten digits",
        train=60_000,
        test=10_000,
        shape=GREY_28,
        class_names=DIGIT_NAMES,
        train_per_class=(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
        mean=(0.1307,),
        std=(0.3081,),
        source="LeCun, Bottou, Bengio, Haffner 1998",
    ),
    "fashion-mnist": DatasetInfo(
        title="Fashion-MNIST",
        train=60_000,
        test=10_000,
        shape=GREY_28,
        class_names=FASHION_NAMES,
        train_per_class=(6000,) * 10,
        mean=(0.2860,),
        std=(0.3530,),
        source="Xiao, Rasul, Vollgraf 2017 (MIT licence)",
    ),
    "kmnist": DatasetInfo(
        title="Kuzushiji-MNIST",
        train=60_000,
        test=10_000,
        shape=GREY_28,
        class_names=KMNIST_NAMES,
        train_per_class=(6000,) * 10,
        mean=(0.1918,),
        std=(0.3483,),
        source="Clanuwat et al. 2018 (CC BY-SA 4.0)",
    ),
    "svhn": DatasetInfo(
        title="Street View House Numbers",
        train=73_257,
        test=26_032,
        shape=COLOUR_32,
        class_names=DIGIT_NAMES,
        train_per_class=(4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659),
        mean=(0.4377, 0.4438, 0.4728),
        std=(0.1980, 0.2010, 0.1970),
        source="Netzer et al. 2011 (non-commercial use)",
    ),
    "cifar10": DatasetInfo(
        title="CIFAR-10",
        train=50_000,
        test=10_000,
        shape=COLOUR_32,
        class_names=CIFAR10_NAMES,
        train_per_class=(5000,) * 10,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2023, 0.1994, 0.2010),
        source="Krizhevsky 2009",
    ),
    "cifar100": DatasetInfo(
        title="CIFAR-100",
        train=50_000,
        test=10_000,
        shape=COLOUR_32,
        class_names=CIFAR100_NAMES,
        train_per_class=(500,) * 100,
        mean=(0.5071, 0.4865, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
        source="Krizhevsky 2009",
    ),
    "stl10": DatasetInfo(
        title="STL-10",
        train=5000,
        test=8000,
        shape=(3, 96, 96),
        class_names=STL10_NAMES,
        train_per_class=(500,) * 10,
        mean=(0.4467, 0.4398, 0.4066),
        std=(0.2603, 0.2566, 0.2713),
        source="Coates, Lee, Ng 2011",
    ),
    "tiny-imagenet": DatasetInfo(
        title="Tiny-ImageNet",
        train=100_000,
        test=10_000,
        shape=(3, 64, 64),
        class_names=tuple(f"class {label}" for label in range(200)),
        train_per_class=(500,) * 200,
        mean=(0.4802, 0.4481, 0.3975),
        std=(0.2770, 0.2691, 0.2821),
        source="Le, Yang 2015, after ImageNet (non-commercial use)",
    ),
}


def _emnist(part: str) -> DatasetInfo:
    names, train, test = {
        "balanced": ((*DIGIT_NAMES, *LETTERS, *"abdefghnqrt"), 2400, 400),
        "letters": (LETTERS, 4800, 800),
        "digits": (DIGIT_NAMES, 24_000, 4000),
    }[part]
    return DatasetInfo(
        title=f"EMNIST, {part}",
        train=train * len(names),
        test=test * len(names),
        shape=GREY_28,
        class_names=tuple(names),
        train_per_class=(train,) * len(names),
        mean=(0.1751,),
        std=(0.3332,),
        source="Cohen et al. 2017",
    )


def _synthetic(data: cfg.Synthetic) -> DatasetInfo:
    test_each = max(1, data.per_class // 5)
    return _generated("A mixture of Gaussians", data.class_count, data.per_class, test_each, (data.dimension,))


def _ufm(data: cfg.Ufm) -> DatasetInfo:
    return _generated("Unconstrained features", data.class_count, data.per_class, 0, ())


def _generated(title: str, classes: int, each: int, test_each: int, shape: tuple[int, ...]) -> DatasetInfo:
    return DatasetInfo(
        title=title,
        train=each * classes,
        test=test_each * classes,
        shape=shape,
        class_names=tuple(str(label + 1) for label in range(classes)),
        train_per_class=(each,) * classes,
        mean=(),
        std=(),
        source="drawn by the seed",
    )


def _own(data: cfg.OwnData) -> DatasetInfo:
    found = data.found
    if found is None:
        raise ValueError(
            f"nobody has looked at data.path={data.path!r} yet: call ncengine.data.resolve_config(config) first"
        )
    channels = found.shape[0] if len(found.shape) == 3 else 0
    colour = channels == 3
    return DatasetInfo(
        title=data.path,
        train=sum(found.train_per_class),
        test=found.test,
        shape=found.shape,
        class_names=found.class_names,
        train_per_class=found.train_per_class,
        mean=(0.485, 0.456, 0.406) if colour else (0.5,) * channels,
        std=(0.229, 0.224, 0.225) if colour else (0.5,) * channels,
        source="one's own files",
    )


def dataset_info(data: cfg.DataConfig) -> DatasetInfo:
    """Return what is known of a config's data; raises ValueError for own files that nobody has looked at."""
    match data.name:
        case "image-folder" | "imagenet" | "arrays":
            return _own(data)
        case "synthetic":
            return _synthetic(data)
        case "ufm":
            return _ufm(data)
        case "emnist":
            return _emnist(data.part)
        case name:
            return DATASETS[name]
