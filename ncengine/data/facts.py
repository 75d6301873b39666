"""What is known of each data set without loading it: sizes, image shape, class names. Forms and checks read this."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DataFacts:
    """Sizes of both splits, image shape (channels, height, width), class names in label order, source and licence."""

    title: str
    train: int
    test: int
    shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    train_per_class: tuple[int, ...]
    mean: float
    std: float
    source: str


FASHION_NAMES = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Boot")

FACTS: dict[str, DataFacts] = {
    "fashion-mnist-mini": DataFacts(
        title="Fashion-MNIST, 500 training and 100 test images a class",
        train=5000,
        test=1000,
        shape=(1, 28, 28),
        class_names=FASHION_NAMES,
        train_per_class=(500,) * 10,
        mean=0.287,
        std=0.354,
        source="Xiao, Rasul, Vollgraf 2017 (MIT licence)",
    ),
    "digits": DataFacts(
        title="Handwritten digits, 8×8 grey",
        train=1442,
        test=355,
        shape=(1, 8, 8),
        class_names=tuple(str(digit) for digit in range(10)),
        train_per_class=(143, 146, 142, 147, 145, 146, 145, 144, 140, 144),
        mean=0.305,
        std=0.376,
        source="Alpaydin, Kaynak 1998, with scikit-learn (CC BY 4.0)",
    ),
}
