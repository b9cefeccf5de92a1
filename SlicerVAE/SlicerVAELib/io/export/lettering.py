"""A word burnt into the pixels of images, so that it stays where headers get lost."""

import numpy as np

from ...core.errors import UserError

_GLYPHS = {
    "C": (" ### ", "#   #", "#    ", "#    ", "#    ", "#   #", " ### "),
    "E": ("#####", "#    ", "#    ", "#### ", "#    ", "#    ", "#####"),
    "H": ("#   #", "#   #", "#   #", "#####", "#   #", "#   #", "#   #"),
    "I": ("#####", "  #  ", "  #  ", "  #  ", "  #  ", "  #  ", "#####"),
    "N": ("#   #", "##  #", "# # #", "# # #", "#  ##", "#   #", "#   #"),
    "S": (" ####", "#    ", "#    ", " ### ", "    #", "    #", "#### "),
    "T": ("#####", "  #  ", "  #  ", "  #  ", "  #  ", "  #  ", "  #  "),
    "Y": ("#   #", "#   #", " # # ", "  #  ", "  #  ", "  #  ", "  #  "),
}
# In one line where it fits, in three for narrow images.
_LAYOUTS = (("SYNTHETIC",), ("SYN", "THE", "TIC"))
_WIDTH_PER_SCALE = 80  # image pixels for each pixel of a letter's stroke


def burn_in_synthetic(images: np.ndarray) -> np.ndarray:
    """``images`` (N, H, W) with SYNTHETIC at the top of each: in the brightest of all their values, on a band of the
    darkest, so that it can be read whatever is behind. Raises UserError for images too small to hold it."""
    _, height, width = images.shape
    darkest, brightest = images.min(), images.max()
    if darkest == brightest:
        raise UserError("The synthetic images show nothing, all their values are equal; draw them from another model.")
    for layout in _LAYOUTS:
        word = _word(layout)
        scale = max(1, width // _WIDTH_PER_SCALE)
        rows, columns = scale * word.shape[0], scale * word.shape[1]
        if rows <= height and columns <= width:
            break
    else:
        needed = " × ".join(map(str, _word(_LAYOUTS[-1]).shape))
        raise UserError(
            f"Synthetic images of {height} × {width} pixels are too small for the word SYNTHETIC, which needs {needed};"
            " draw them from a model of larger images."
        )
    marked = images.copy()
    left = (width - columns) // 2
    marked[:, :rows] = darkest
    marked[:, :rows, left : left + columns][:, word.repeat(scale, axis=0).repeat(scale, axis=1)] = brightest
    return marked


def _word(lines: tuple[str, ...]) -> np.ndarray:
    """The letters as True on a boolean array, with a margin of one pixel around each."""
    return np.concatenate([np.concatenate([_letter(letter) for letter in line], axis=1) for line in lines])


def _letter(letter: str) -> np.ndarray:
    return np.pad(np.array([[dot == "#" for dot in row] for row in _GLYPHS[letter]]), 1)[:, :-1]
