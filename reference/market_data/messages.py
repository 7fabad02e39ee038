"""Messages of RFC 6455 out of picows' frames: fragments put together, what breaks the protocol answered with its close code."""

from __future__ import annotations

from typing import Any

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from matchmark.reference.market_data.encode import frame

_TEXT, _BINARY, _CONTINUATION = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION
_FIN_TEXT, _FIN_BINARY = 0x81, 0x82


class ProtocolError(Exception):
    def __init__(self, code: WSCloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class MessageListener(WSListener):
    """`on_message` gets whole messages of at most `message_max` bytes. Pings are answered by picows."""

    def __init__(self, message_max: int) -> None:
        self.message_max = message_max
        self._parts: list[bytes] = []
        self._size = 0
        self._text: bool | None = None
        """Of the message whose parts are coming; None: of none."""

    def on_message(self, transport: WSTransport, payload: bytes, text: bool) -> None: ...

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        try:
            self._on_frame(transport, frame)
        except ProtocolError as error:
            close(transport, error.code, str(error))

    def _on_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            raise ProtocolError(WSCloseCode.PROTOCOL_ERROR, "reserved bits are set")
        if kind in (_TEXT, _BINARY, _CONTINUATION):
            self._on_data(transport, frame)
        elif kind == WSMsgType.CLOSE:
            code = frame.get_close_code()
            if not transport.is_close_frame_sent:
                transport.send_close(WSCloseCode.OK if code == WSCloseCode.NO_INFO else code)
            transport.disconnect()

    def _on_data(self, transport: WSTransport, frame: WSFrame) -> None:
        if (frame.msg_type == _CONTINUATION) != (self._text is not None):
            raise ProtocolError(WSCloseCode.PROTOCOL_ERROR, "a message began within another, or went on without one")
        self._size += frame.payload_size
        if self._size > self.message_max:
            raise ProtocolError(WSCloseCode.MESSAGE_TOO_BIG, f"a message has at most {self.message_max} bytes")
        if self._text is None:
            self._text = frame.msg_type == _TEXT
        self._parts.append(frame.get_payload_as_bytes())
        if not frame.fin:
            return
        payload, text = b"".join(self._parts), self._text
        self._parts, self._size, self._text = [], 0, None
        if text:
            try:
                payload.decode()
            except UnicodeDecodeError:
                raise ProtocolError(WSCloseCode.INVALID_TEXT, "a text message is UTF-8") from None
        self.on_message(transport, payload, text)


class Echo(MessageListener):
    """Gives back what it gets."""

    def on_message(self, transport: WSTransport, payload: bytes, text: bool) -> None:
        transport.underlying_transport.write(frame(_FIN_TEXT if text else _FIN_BINARY, payload))


def close(transport: WSTransport, code: WSCloseCode, reason: str) -> None:
    """Says so, and ends the connection when what is written has gone."""
    if not transport.is_close_frame_sent:
        transport.send_close(code, reason.encode()[:120])
    transport.disconnect()


def raw(transport: WSTransport) -> Any:
    """The socket below."""
    return transport.underlying_transport.get_extra_info("socket")
