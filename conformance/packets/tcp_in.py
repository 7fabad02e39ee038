"""What arrives on a TCP connection, put in order. Offsets count from the other side's SYN: that is 0, its first byte 1."""

from __future__ import annotations


class Incoming:
    """`next`: the offset that is acknowledged. `edge`: the first offset that was not offered. `fin_at`: of the other side's FIN.

    Of bytes that come twice the first ones stay.
    """

    def __init__(self, window: int) -> None:
        self.next, self.edge, self.fin_at = 1, 1 + window, -1
        self.size = window
        self.received = bytearray()
        """In order, and not read yet."""
        self.out_of_order = self.again = self.beyond = 0
        """Segments that left a gap, that brought nothing new, and whose data was not offered room."""
        self._ahead: dict[int, bytes] = {}

    @property
    def window(self) -> int:
        return max(0, self.edge - self.next)

    @property
    def finished(self) -> bool:
        """Everything and the FIN came."""
        return self.fin_at >= 0 and self.next > self.fin_at

    def offer(self, size: int, shrink: bool) -> None:
        """What was offered before stays so unless it is to shrink."""
        self.size = size
        self.edge = self.next + size if shrink else max(self.edge, self.next + size)

    def fits(self, offset: int, length: int) -> bool:
        """Whether any of it may be taken; without a length: whether it lies within the window."""
        if offset == self.next:
            return True
        if length == 0:
            return self.next < offset < self.edge
        return offset < self.edge and offset + length > self.next

    def take(self, offset: int, data: bytes, fin: bool) -> None:
        end = offset + len(data)
        room = max(0, self.edge - offset)
        if len(data) > room:
            self.beyond += 1
            data, fin = data[:room], False
        if fin:
            self.fin_at = end
        if data:
            if offset > self.next:
                self.out_of_order += 1
            elif offset + len(data) <= self.next:
                self.again += 1
            if len(data) > len(self._ahead.get(offset, b"")):
                self._ahead[offset] = self._ahead.get(offset, b"") + data[len(self._ahead.get(offset, b"")) :]
        self._join()
        if self.next == self.fin_at:
            self.next += 1
        if self.size:  # a closed window stays where it is
            self.edge = max(self.edge, self.next + self.size)

    def _join(self) -> None:
        while self._ahead and (first := min(self._ahead)) <= self.next:
            data = self._ahead.pop(first)
            new = data[self.next - first :]
            self.received += new
            self.next += len(new)
