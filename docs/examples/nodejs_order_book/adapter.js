// The npm package nodejs-order-book as a subprocess target: one OrderBook, one instrument.
//
// The caller numbers the orders. An answer lists the resting orders that were filled, in order and each with the size
// it had left, and the one that was hit in part (partialQuantityProcessed): these are the trades. The incoming order
// itself is among them when it is filled or rests, and is left out. quantityLeft of an order that may not rest is
// reported as cancelled. Prices and sizes are doubles: whole numbers up to 2^53 are exact.
//
// Its modify takes the new open size. Self-trade prevention is not used (NOTES.md says why).

"use strict";
const readline = require("node:readline");
const { OrderBook } = require("nodejs-order-book");

const EXIT_ENGINE_FAILED = 70; // EX_SOFTWARE: the engine threw instead of answering
const UNUSED_ID = "none";

let book, engineId, clOf, cum;

function reset() {
  book = new OrderBook();
  engineId = new Map(); // ClOrdID -> id in the book; a replaced ClOrdID is gone from here, the id stays
  clOf = new Map(); // and back, of every order ever sent
  cum = new Map();
  return [];
}

function whole(value) {
  if (!Number.isInteger(value)) throw new Error(`the engine reported ${value} where only whole ticks and lots went in`);
  return value;
}

function trades(sym, incoming, answer) {
  const hits = answer.done.filter((order) => order.id !== incoming).map((order) => [order, order.size]);
  if (answer.partial !== null && answer.partial.id !== incoming) {
    hits.push([answer.partial, answer.partialQuantityProcessed]);
  }
  return hits.map(([order, qty]) => {
    for (const id of [order.id, incoming]) cum.set(id, (cum.get(id) ?? 0) + whole(qty));
    return { ev: "trade", sym, px: whole(order.price), qty, resting: clOf.get(order.id), incoming: clOf.get(incoming) };
  });
}

function cancelled(id, leaves, reason) {
  return { ev: "cancelled", cl: clOf.get(id), leaves: whole(leaves), cum: cum.get(id) ?? 0, reason };
}

const handlers = {
  reset,

  new({ cl, sym, side, type, tif, px, qty }) {
    const id = String(clOf.size + 1);
    const mayRest = type === "limit" && tif === "day";
    const order = { id, side, size: qty };
    const answer =
      type === "market" ? book.market(order) : book.limit({ ...order, price: px, timeInForce: mayRest ? "GTC" : "IOC" });
    clOf.set(id, cl);
    if (answer.err !== null) return [{ ev: "rejected", cl, reason: answer.err.message }];
    engineId.set(cl, id);
    const events = [{ ev: "accepted", cl, id }, ...trades(sym, id, answer)];
    if (!mayRest && answer.quantityLeft > 0) events.push(cancelled(id, answer.quantityLeft, "unfilled remainder"));
    return events;
  },

  cancel({ cl, orig }) {
    const id = engineId.get(orig) ?? UNUSED_ID;
    const answer = book.cancel(id);
    if (answer === undefined) return [{ ev: "cancel_rejected", cl, reason: "cancel returned undefined" }];
    return [cancelled(id, answer.order.size, "requested")];
  },

  replace({ cl, orig, sym, new_px, new_qty }) {
    const id = engineId.get(orig) ?? UNUSED_ID;
    const before = cum.get(id) ?? 0;
    const update = { price: new_px, size: new_qty === undefined ? undefined : new_qty - before };
    const price = new_px ?? book.order(id)?.price;
    const answer = book.modify(id, update);
    if (answer.err !== null) return [{ ev: "cancel_rejected", cl, reason: answer.err.message }];
    engineId.delete(orig);
    engineId.set(cl, id);
    clOf.set(id, cl);
    const fills = trades(sym, id, answer);
    const rests = book.order(id);
    const leaves = fills.reduce((sum, fill) => sum + fill.qty, rests === undefined ? 0 : rests.size);
    return [{ ev: "replaced", cl, orig, px: rests === undefined ? price : rests.price, leaves, cum: before }, ...fills];
  },
};

function fail(text) {
  process.stderr.write(`adapter: ${text}\n`);
  process.exit(EXIT_ENGINE_FAILED);
}

reset();
readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const op = JSON.parse(line);
  if (!Object.hasOwn(handlers, op.op)) fail(`this adapter has no '${op.op}': take the capability out of the profile`);
  let events;
  try {
    events = handlers[op.op](op);
  } catch (error) {
    fail(`${error}, while answering ${line}`);
  }
  process.stdout.write([...events, { ev: "done" }].map((event) => JSON.stringify(event) + "\n").join(""));
});
