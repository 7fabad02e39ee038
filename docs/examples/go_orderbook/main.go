// The Go module github.com/i25959341/orderbook as a subprocess target: one OrderBook, one instrument.
//
// Orders carry the caller's ids. A processed order answers with the resting orders that it filled, in order and each
// with the quantity it had left, and with the one that it hit in part and how much of it: these are the trades. The
// incoming order itself is among them when it is filled or rests, and is left out. A market order has no id there; what
// the engine returns as left over is reported as cancelled. Prices and quantities are arbitrary-precision decimals.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/i25959341/orderbook"
	"github.com/shopspring/decimal"
)

const exitEngineFailed = 70 // EX_SOFTWARE: the engine panicked or broke its own types

type op struct {
	Op, Cl, Orig, Sym, Side, Type string
	Px, Qty                       int64
}

type event map[string]any

type adapter struct {
	book *orderbook.OrderBook
	cum  map[string]int64
}

func newAdapter() *adapter {
	return &adapter{book: orderbook.NewOrderBook(), cum: map[string]int64{}}
}

func (a *adapter) answer(o op) []event {
	switch o.Op {
	case "reset":
		*a = *newAdapter()
		return nil
	case "new":
		return a.enter(o)
	case "cancel":
		return a.cancel(o)
	}
	fail("this adapter has no %q: take the capability out of the profile", o.Op)
	return nil
}

func (a *adapter) enter(o op) []event {
	side := orderbook.Buy
	if o.Side == "sell" {
		side = orderbook.Sell
	}
	quantity, price := decimal.NewFromInt(o.Qty), decimal.NewFromInt(o.Px)
	var done []*orderbook.Order
	var partial *orderbook.Order
	var processed, left decimal.Decimal
	var err error
	if o.Type == "market" {
		done, partial, processed, left, err = a.book.ProcessMarketOrder(side, quantity)
	} else {
		done, partial, processed, err = a.book.ProcessLimitOrder(side, o.Cl, quantity, price)
	}
	if err != nil {
		return []event{{"ev": "rejected", "cl": o.Cl, "reason": err.Error()}}
	}
	events := []event{{"ev": "accepted", "cl": o.Cl, "id": o.Cl}}
	for _, order := range done {
		if order.ID() != o.Cl {
			events = append(events, a.trade(o, order, order.Quantity()))
		}
	}
	if partial != nil && partial.ID() != o.Cl {
		events = append(events, a.trade(o, partial, processed))
	}
	if left.Sign() > 0 {
		events = append(events, a.cancelled(o.Cl, whole(left), "no_liquidity"))
	}
	return events
}

func (a *adapter) cancel(o op) []event {
	order := a.book.CancelOrder(o.Orig)
	if order == nil {
		return []event{{"ev": "cancel_rejected", "cl": o.Cl, "reason": "CancelOrder returned nil"}}
	}
	return []event{a.cancelled(o.Orig, whole(order.Quantity()), "requested")}
}

func (a *adapter) trade(o op, resting *orderbook.Order, quantity decimal.Decimal) event {
	qty := whole(quantity)
	a.cum[resting.ID()] += qty
	a.cum[o.Cl] += qty
	return event{
		"ev": "trade", "sym": o.Sym, "px": whole(resting.Price()), "qty": qty, "resting": resting.ID(), "incoming": o.Cl,
	}
}

func (a *adapter) cancelled(cl string, leaves int64, reason string) event {
	return event{"ev": "cancelled", "cl": cl, "leaves": leaves, "cum": a.cum[cl], "reason": reason}
}

func whole(d decimal.Decimal) int64 {
	if !d.IsInteger() {
		fail("the engine reported %s where only whole ticks and lots went in", d)
	}
	return d.IntPart()
}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "adapter: "+format+"\n", args...)
	os.Exit(exitEngineFailed)
}

func main() {
	in, out := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	decoder, encoder := json.NewDecoder(in), json.NewEncoder(out)
	a := newAdapter()
	for {
		var o op
		if err := decoder.Decode(&o); err == io.EOF {
			return
		} else if err != nil {
			fail("not a command: %v", err)
		}
		func() {
			defer func() {
				if cause := recover(); cause != nil {
					fail("panic: %v, while answering %+v", cause, o)
				}
			}()
			for _, e := range append(a.answer(o), event{"ev": "done"}) {
				if err := encoder.Encode(e); err != nil {
					fail("cannot write: %v", err)
				}
			}
		}()
		out.Flush()
	}
}
