"""Contrast as WCAG 2 defines it, of colours as red, green and blue from 0 to 255."""


def contrast(ink, paper):
    """From 1, which cannot be seen, to 21; text needs 4.5."""
    low, high = sorted((_luminance(ink), _luminance(paper)))
    return (high + 0.05) / (low + 0.05)


def _luminance(color):
    parts = [v / 255 for v in color]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
