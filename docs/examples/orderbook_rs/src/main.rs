//! The crate orderbook-rs as a subprocess target: one OrderBook for each symbol.
//!
//! Executions arrive at the book's trade listener with both order ids; how an order ended is asked of the book's own
//! order state tracker. A submit whose order traded or was cancelled for want of liquidity returns an error there: the
//! tracker tells those, which are answers, from refusals. What a market order left over is in its match result. Prices are u128, quantities u64, so a negative number cannot
//! be put to the engine and is refused here.
//!
//! A cancel there names only the order and self-trade prevention is a setting of the whole book: neither ownership nor
//! self-match prevention by order is declared.

use std::collections::HashMap;
use std::io::{self, BufRead, Write};
use std::sync::{Arc, Mutex};

use orderbook_rs::orderbook::{OrderStateTracker, OrderStatus};
use orderbook_rs::prelude::*;
use pricelevel::{OrderUpdate, Price, Quantity};
use serde_json::{json, Value};

const EXIT_ENGINE_FAILED: i32 = 70; // EX_SOFTWARE: the engine panicked instead of answering

type Fill = (Id, Id, u64, u64); // resting, incoming, price, quantity
type Level = Option<(u64, u64)>;

struct Market {
    book: OrderBook<()>,
    fills: Arc<Mutex<Vec<Fill>>>,
    top: (Level, Level),
}

impl Market {
    fn new(sym: &str) -> Self {
        let fills: Arc<Mutex<Vec<Fill>>> = Arc::default();
        let heard = Arc::clone(&fills);
        let mut book = OrderBook::with_trade_listener(
            sym,
            Arc::new(move |result| {
                heard
                    .lock()
                    .unwrap()
                    .extend(result.match_result.trades().as_vec().iter().map(|t| {
                        let (price, qty) = (t.price().as_u128() as u64, t.quantity().as_u64());
                        (t.maker_order_id(), t.taker_order_id(), price, qty)
                    }))
            }),
        );
        book.set_order_state_tracker(OrderStateTracker::new());
        Market {
            book,
            fills,
            top: (None, None),
        }
    }

    fn level(&self, price: Option<u128>, side: Side) -> Level {
        let price = price?;
        let quantity = self.book.total_quantity_at_price(price, side).ok()??;
        Some((price as u64, quantity))
    }
}

#[derive(Default)]
struct Adapter {
    markets: HashMap<String, Market>,
    ids: HashMap<String, Id>, // a replaced ClOrdID is gone from here
    cl: HashMap<Id, String>,  // of every order ever sent
    qty: HashMap<Id, u64>,
    cum: HashMap<Id, u64>,
}

const UNUSED: Id = Id::Sequential(0);

impl Adapter {
    fn answer(&mut self, op: &Value) -> Vec<Value> {
        let sym = op["sym"].as_str().unwrap_or_default().to_string();
        if op["op"] == "reset" {
            *self = Adapter::default();
            return vec![];
        }
        self.markets.entry(sym.clone()).or_insert_with(|| Market::new(&sym));
        let mut events = match op["op"].as_str() {
            Some("new") => self.enter(op, &sym),
            Some("cancel") => self.cancel(op, &sym),
            Some("replace") => self.replace(op, &sym),
            Some("status") => self.status(op, &sym),
            other => panic!("this adapter has no {other:?}: take the capability out of the profile"),
        };
        events.extend(self.top(&sym));
        events
    }

    fn enter(&mut self, op: &Value, sym: &str) -> Vec<Value> {
        let (Some(qty), price) = (op["qty"].as_u64(), op["px"].as_u64()) else {
            return rejected("rejected", &op["cl"], "quantity is not a u64");
        };
        let id = Id::Sequential(self.cl.len() as u64 + 1);
        self.cl.insert(id, text(&op["cl"]));
        let side = if op["side"] == "buy" { Side::Buy } else { Side::Sell };
        let tif = if op["tif"] == "ioc" {
            TimeInForce::Ioc
        } else {
            TimeInForce::Gtc
        };
        let book = &self.markets[sym].book;
        let (failure, mut left) = match (op["type"] == "market", price) {
            (true, _) => match book.submit_market_order(id, qty, side) {
                Ok(result) => (None, result.remaining_quantity().as_u64()),
                Err(error) => (Some(error), 0),
            },
            (false, None) => return rejected("rejected", &op["cl"], "price is not a u128"),
            (false, Some(price)) => (book.add_limit_order(id, price.into(), qty, side, tif, None).err(), 0),
        };
        if let Some(OrderStatus::Cancelled { filled_quantity, .. }) = book.order_status(id) {
            left = qty - filled_quantity;
        } else if let Some(error) = failure {
            return rejected("rejected", &op["cl"], error);
        }
        let fills = self.fills(sym);
        self.ids.insert(text(&op["cl"]), id);
        self.qty.insert(id, qty);
        let mut events = vec![json!({"ev": "accepted", "cl": op["cl"], "id": id.to_string()})];
        events.extend(fills);
        if left > 0 {
            events.push(cancelled(&op["cl"], left, qty - left, "insufficient liquidity"));
        }
        events
    }

    fn cancel(&mut self, op: &Value, sym: &str) -> Vec<Value> {
        let id = self.id(op);
        match self.markets[sym].book.cancel_order(id) {
            Ok(Some(order)) => {
                let cum = self.cum.get(&id).copied().unwrap_or(0);
                vec![cancelled(
                    &op["orig"],
                    order.visible_quantity().as_u64(),
                    cum,
                    "requested",
                )]
            }
            Ok(None) => rejected("cancel_rejected", &op["cl"], "cancel_order returned None"),
            Err(error) => rejected("cancel_rejected", &op["cl"], error),
        }
    }

    /// At the same price this is the crate's UpdateQuantity, else its UpdatePriceAndQuantity; both take open quantity.
    fn replace(&mut self, op: &Value, sym: &str) -> Vec<Value> {
        let id = self.id(op);
        let cum = self.cum.get(&id).copied().unwrap_or(0);
        let total = self.qty.get(&id).copied().unwrap_or(0);
        let wanted = op["new_qty"].as_i64().unwrap_or(total as i64);
        let (Ok(open), price) = (u64::try_from(wanted - cum as i64), op["new_px"].as_i64()) else {
            return rejected("cancel_rejected", &op["cl"], "open quantity would be negative");
        };
        let new_quantity = Quantity::new(open);
        let current = self.markets[sym].book.get_order(id).map(|o| o.price().as_u128());
        let update = match price.map(u128::try_from).filter(|p| p.ok() != current) {
            None => OrderUpdate::UpdateQuantity {
                order_id: id,
                new_quantity,
            },
            Some(Ok(price)) => OrderUpdate::UpdatePriceAndQuantity {
                order_id: id,
                new_price: Price::new(price),
                new_quantity,
            },
            Some(Err(_)) => return rejected("cancel_rejected", &op["cl"], "price is not a u128"),
        };
        let order = match self.markets[sym].book.update_order(update) {
            Ok(Some(order)) => order,
            Ok(None) => return rejected("cancel_rejected", &op["cl"], "update_order returned None"),
            Err(error) => return rejected("cancel_rejected", &op["cl"], error),
        };
        self.ids.remove(&text(&op["orig"]));
        self.ids.insert(text(&op["cl"]), id);
        self.cl.insert(id, text(&op["cl"]));
        self.qty.insert(id, wanted as u64);
        let fills = self.fills(sym);
        let resting = self.markets[sym]
            .book
            .get_order(id)
            .map_or(0, |o| o.visible_quantity().as_u64());
        let leaves = resting + fills.iter().map(|f| f["qty"].as_u64().unwrap_or(0)).sum::<u64>();
        let px = order.price().as_u128() as u64;
        let mut events =
            vec![json!({"ev": "replaced", "cl": op["cl"], "orig": op["orig"], "px": px, "leaves": leaves, "cum": cum})];
        events.extend(fills);
        events
    }

    fn status(&self, op: &Value, sym: &str) -> Vec<Value> {
        let id = self.id(op);
        let total = self.qty.get(&id).copied().unwrap_or(0);
        let (state, leaves, cum) = match self.markets[sym].book.order_status(id) {
            Some(OrderStatus::Open) => ("new", total, 0),
            // The tracker keeps the quantity that the order had at first; a replace may have changed it.
            Some(OrderStatus::PartiallyFilled { filled_quantity, .. }) => {
                ("partially_filled", total.saturating_sub(filled_quantity), filled_quantity)
            }
            Some(OrderStatus::Filled { filled_quantity }) => ("filled", 0, filled_quantity),
            Some(OrderStatus::Cancelled { filled_quantity, .. }) => ("cancelled", 0, filled_quantity),
            _ => ("unknown", 0, 0),
        };
        vec![json!({"ev": "status", "cl": op["cl"], "orig": op["orig"], "state": state, "leaves": leaves, "cum": cum})]
    }

    fn id(&self, op: &Value) -> Id {
        self.ids
            .get(op["orig"].as_str().unwrap_or_default())
            .copied()
            .unwrap_or(UNUSED)
    }

    fn fills(&mut self, sym: &str) -> Vec<Value> {
        let fills = std::mem::take(&mut *self.markets[sym].fills.lock().unwrap());
        let mut events = vec![];
        for (resting, incoming, px, qty) in fills {
            *self.cum.entry(resting).or_default() += qty;
            *self.cum.entry(incoming).or_default() += qty;
            let (resting, incoming) = (&self.cl[&resting], &self.cl[&incoming]);
            events.push(
                json!({"ev": "trade", "sym": sym, "px": px, "qty": qty, "resting": resting, "incoming": incoming}),
            );
        }
        events
    }

    fn top(&mut self, sym: &str) -> Option<Value> {
        let market = self.markets.get_mut(sym)?;
        let now = (
            market.level(market.book.best_bid(), Side::Buy),
            market.level(market.book.best_ask(), Side::Sell),
        );
        if now == market.top {
            return None;
        }
        market.top = now;
        Some(json!({"ev": "top", "sym": sym, "bid": now.0, "ask": now.1}))
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

fn rejected(ev: &str, cl: &Value, reason: impl ToString) -> Vec<Value> {
    vec![json!({"ev": ev, "cl": cl, "reason": reason.to_string()})]
}

fn cancelled(cl: &Value, leaves: u64, cum: u64, reason: impl ToString) -> Value {
    json!({"ev": "cancelled", "cl": cl, "leaves": leaves, "cum": cum, "reason": reason.to_string()})
}

fn main() -> io::Result<()> {
    std::panic::set_hook(Box::new(|info| {
        let cause = info.payload_as_str().unwrap_or("no message");
        let line = info.location().map_or(0, |place| place.line());
        eprintln!("adapter: panic: {cause} (line {line} of its file)");
        std::process::exit(EXIT_ENGINE_FAILED);
    }));
    let mut out = io::stdout().lock();
    let mut adapter = Adapter::default();
    for line in io::stdin().lock().lines() {
        let op: Value = serde_json::from_str(&line?)?;
        for event in adapter.answer(&op) {
            writeln!(out, "{event}")?;
        }
        writeln!(out, "{{\"ev\":\"done\"}}")?;
        out.flush()?;
    }
    Ok(())
}
