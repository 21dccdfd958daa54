"""A canvas of dots, several to a cell, that becomes lines of text."""

from __future__ import annotations

from mdibench.tui.paint.glyphs import Glyphs
from mdibench.tui.paint.lines import PLAIN, Line


class Canvas:
    """``width`` by ``height`` cells; dots count from the top left corner.

    A cell has one role: of its last dot. Text lies above dots.
    """

    def __init__(self, width: int, height: int, glyphs: Glyphs) -> None:
        self.glyphs = glyphs
        self.width, self.height = width, height
        self.dots_across, self.dots_down = width * glyphs.across, height * glyphs.down
        self._bits = [[0] * width for _ in range(height)]
        self._roles = [[PLAIN] * width for _ in range(height)]
        self._text: dict[tuple[int, int], tuple[str, str]] = {}

    def dot(self, x: int, y: int, role: str) -> None:
        """Set one dot; dots outside are left out."""
        if not (0 <= x < self.dots_across and 0 <= y < self.dots_down):
            return
        column, dx = divmod(x, self.glyphs.across)
        row, dy = divmod(y, self.glyphs.down)
        self._bits[row][column] |= 1 << (dy * self.glyphs.across + dx)
        self._roles[row][column] = role

    def line(self, x0: int, y0: int, x1: int, y1: int, role: str, every: int = 1) -> None:
        """A straight line (Bresenham's); ``every`` 2 makes it dotted."""
        dx, dy = abs(x1 - x0), -abs(y1 - y0)
        step_x, step_y = (1 if x0 < x1 else -1), (1 if y0 < y1 else -1)
        error, count = dx + dy, 0
        while True:
            if count % every == 0:
                self.dot(x0, y0, role)
            if x0 == x1 and y0 == y1:
                return
            count += 1
            doubled = 2 * error
            if doubled >= dy:
                error, x0 = error + dy, x0 + step_x
            if doubled <= dx:
                error, y0 = error + dx, y0 + step_y

    def text(self, column: int, row: int, text: str, role: str = PLAIN) -> None:
        """Text from a cell on, cut at the right edge."""
        if 0 <= row < self.height:
            for place, character in enumerate(text, column):
                if 0 <= place < self.width:
                    self._text[row, place] = (character, role)

    def lines(self) -> list[Line]:
        """The picture, neighbouring cells of one role joined."""
        return [self._line(row) for row in range(self.height)]

    def _line(self, row: int) -> Line:
        line: Line = []
        for column in range(self.width):
            drawn = (self.glyphs.cells[self._bits[row][column]], self._roles[row][column])
            text, role = self._text.get((row, column), drawn)
            if line and (line[-1][1] == role or text == " "):
                line[-1] = (line[-1][0] + text, line[-1][1])
            else:
                line.append((text, role))
        return line
