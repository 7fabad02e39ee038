from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Trading(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NORMAL: _ClassVar[Trading]
    WARNED: _ClassVar[Trading]
    HALTED: _ClassVar[Trading]
NORMAL: Trading
WARNED: Trading
HALTED: Trading

class Trade(_message.Message):
    __slots__ = ("sequence", "price_ticks", "quantity_lots", "sold")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PRICE_TICKS_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_LOTS_FIELD_NUMBER: _ClassVar[int]
    SOLD_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    price_ticks: int
    quantity_lots: int
    sold: bool
    def __init__(self, sequence: _Optional[int] = ..., price_ticks: _Optional[int] = ..., quantity_lots: _Optional[int] = ..., sold: _Optional[bool] = ...) -> None: ...

class Status(_message.Message):
    __slots__ = ("sequence", "trading")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TRADING_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    trading: Trading
    def __init__(self, sequence: _Optional[int] = ..., trading: _Optional[_Union[Trading, str]] = ...) -> None: ...

class Level(_message.Message):
    __slots__ = ("ask", "price_ticks", "quantity_lots")
    ASK_FIELD_NUMBER: _ClassVar[int]
    PRICE_TICKS_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_LOTS_FIELD_NUMBER: _ClassVar[int]
    ask: bool
    price_ticks: int
    quantity_lots: int
    def __init__(self, ask: _Optional[bool] = ..., price_ticks: _Optional[int] = ..., quantity_lots: _Optional[int] = ...) -> None: ...

class Quote(_message.Message):
    __slots__ = ("bid_ticks", "bid_lots", "ask_ticks", "ask_lots")
    BID_TICKS_FIELD_NUMBER: _ClassVar[int]
    BID_LOTS_FIELD_NUMBER: _ClassVar[int]
    ASK_TICKS_FIELD_NUMBER: _ClassVar[int]
    ASK_LOTS_FIELD_NUMBER: _ClassVar[int]
    bid_ticks: int
    bid_lots: int
    ask_ticks: int
    ask_lots: int
    def __init__(self, bid_ticks: _Optional[int] = ..., bid_lots: _Optional[int] = ..., ask_ticks: _Optional[int] = ..., ask_lots: _Optional[int] = ...) -> None: ...

class Update(_message.Message):
    __slots__ = ("symbol", "after", "sequence", "trades", "statuses", "book", "snapshot", "quote", "levels", "made_ns")
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TRADES_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    BOOK_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    QUOTE_FIELD_NUMBER: _ClassVar[int]
    LEVELS_FIELD_NUMBER: _ClassVar[int]
    MADE_NS_FIELD_NUMBER: _ClassVar[int]
    symbol: int
    after: int
    sequence: int
    trades: _containers.RepeatedCompositeFieldContainer[Trade]
    statuses: _containers.RepeatedCompositeFieldContainer[Status]
    book: bool
    snapshot: bool
    quote: Quote
    levels: _containers.RepeatedCompositeFieldContainer[Level]
    made_ns: int
    def __init__(self, symbol: _Optional[int] = ..., after: _Optional[int] = ..., sequence: _Optional[int] = ..., trades: _Optional[_Iterable[_Union[Trade, _Mapping]]] = ..., statuses: _Optional[_Iterable[_Union[Status, _Mapping]]] = ..., book: _Optional[bool] = ..., snapshot: _Optional[bool] = ..., quote: _Optional[_Union[Quote, _Mapping]] = ..., levels: _Optional[_Iterable[_Union[Level, _Mapping]]] = ..., made_ns: _Optional[int] = ...) -> None: ...
